"""Tasks as Markdown files in lane folders."""
