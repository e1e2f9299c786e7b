"""The HTTP API: routes, schemas, request reading, problems."""
