"""The HTTP API: routes, request bodies, middleware and transport."""
