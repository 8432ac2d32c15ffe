"""The agent that runs on the pod (one standard-library file) and the client that speaks to it."""
