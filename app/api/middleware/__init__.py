"""ASGI middleware: access log and API keys."""
