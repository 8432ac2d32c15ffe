"""The test bed: the provider's API, real SSH pods, and a proxy that breaks links."""
