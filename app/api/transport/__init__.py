"""HTTP connections: limits on their number, on the time of clients, and on the memory of bodies."""
