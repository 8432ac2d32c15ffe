"""The only place that resolves, converts, loads and guards models."""
