"""What pods cost: rates and budgets, the ledger, what was billed, how long the money lasts."""
