"""Runs an operation on very many images with Ray Data, and writes the results to Parquet files.

Only this package imports Ray and PyArrow, which are optional: the extra `ray`. `cluster` alone imports Ray.
"""
