"""Named training runs, one module each: its command, its cost, its measured number."""
