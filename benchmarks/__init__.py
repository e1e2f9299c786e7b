"""Benchmarks: scripts, never timed tests. Peers run in turns with ours on the same pictures in one run."""
