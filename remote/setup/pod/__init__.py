"""What of the set-up runs on the pod: standard library only, Python 3.9 and later."""
