"""ASGI middleware: access log, API keys, security headers."""
