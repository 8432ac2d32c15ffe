"""Pods and the providers that rent them out. The embedded pod is one provider among others."""
