"""Declarations only: what each stage teaches, its task families, its gate. No control flow."""
