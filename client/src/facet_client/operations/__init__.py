"""The operations of the service, defined once for both clients."""
