"""Tests, by package; `tests.sim` is what stands in for the provider and its machines."""
