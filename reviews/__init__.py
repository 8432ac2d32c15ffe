"""Review requests and responses as Markdown files."""
