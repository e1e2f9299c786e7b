"""Readers of the datasets' formats, crops made from them by the served detector, and TFRecord files."""
