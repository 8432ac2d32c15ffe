"""What a pod shows while it works: files that grow, its cards, its machine."""
