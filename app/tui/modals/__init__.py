"""Part of the terminal panel."""
