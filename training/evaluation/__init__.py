"""Measurement of exported models on test sets; imports `exporting` and what is below it."""
