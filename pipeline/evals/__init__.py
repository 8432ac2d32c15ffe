"""Held-out sets, scorers and their audit. Standard library only."""
