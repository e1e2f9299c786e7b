"""Faults, mistakes and attacks: what the service does, and how fast it recovers. One module a scenario."""
