"""Connections: limits on their number, on time and on memory."""
