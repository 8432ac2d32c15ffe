"""The experiment, headless: a base model bootstraps its own alignment. Importing this package costs no torch."""
