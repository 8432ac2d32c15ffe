"""When a pod is stopped without a person: the rules, the laptop's rounds, and the watchdog on the pod itself."""
