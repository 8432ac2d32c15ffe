"""Everything that crosses the network: pods, SSH, sync, jobs, tails, money. Importing this package loads no asyncssh."""
