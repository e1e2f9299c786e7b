"""The operations of the service and their contract, without HTTP. The API and the command line use them."""
