"""The version of the client: that of the service for which it was written."""

__version__ = "0.2.0.dev0"
