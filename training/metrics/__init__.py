"""Measures of landmarks, detection and verification on arrays; imports `app.vision` only."""
