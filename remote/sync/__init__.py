"""Moves files: code to the pod as immutable trees, results home verified by hash."""
