"""Data quality: duplicates, leakage, thresholds."""
