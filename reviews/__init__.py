"""Review requests and responses as Markdown files. `summary(root)` is what one should know of them first."""

from reviews.overview import ReviewSummary, summary

__all__ = ["ReviewSummary", "summary"]
