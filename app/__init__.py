"""What a person looks at and presses: command line and Textual panel."""
