"""Experiments that the documentation quotes, one command each; imports all other packages."""
