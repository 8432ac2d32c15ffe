"""A RunPod API simulator: REST v2, GraphQL and log streams on one origin, an admin port beside it, on loopback only.

Written from the project's own description of the API; what no public source tells is chosen here and says so where it
stands. `harness.Simulator` is the way in for tests; `python -m tests.sim.runpod_api` runs it as a process.
"""
