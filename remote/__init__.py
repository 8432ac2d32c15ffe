"""Everything that crosses the network: pods, SSH, sync, jobs, tails, money. Importing it loads no asyncssh."""
