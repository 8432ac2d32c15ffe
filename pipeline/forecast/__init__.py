"""What a recipe will cost before it starts: work, speed, memory, minutes and dollars a step. No torch here."""
