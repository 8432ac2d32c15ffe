"""What is done to pods, journal line first: renting, starting, stopping, removing; and what is known of each."""
