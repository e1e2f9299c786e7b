"""The HTTP API: routes, request bodies, middleware, transport."""
