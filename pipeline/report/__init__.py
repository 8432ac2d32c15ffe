"""One run as a document: report in Markdown and HTML, plots, data and model cards. Reads files, decides nothing."""
