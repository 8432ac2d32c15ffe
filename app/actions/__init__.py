"""Everything a person can do, each thing once: the source of keys, palette, command line and help."""
