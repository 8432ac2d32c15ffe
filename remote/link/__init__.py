"""One verified SSH connection per pod session: host keys, commands, small files, a shell for a person."""
