"""Benchmarks: scripts that measure Facet, and other libraries in the same run on the same images.

A comparison runs Facet and the other libraries alternately. No test of the project depends on times.
"""
