"""Model cards, tables and plots; imports `evaluation` and what is below it."""
