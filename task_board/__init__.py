"""Tasks as Markdown files in lane folders. `summary(root)` is what one should know of a board first."""

from task_board.overview import BoardSummary, summary

__all__ = ["BoardSummary", "summary"]
