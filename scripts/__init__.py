"""Scripts that write files which are generated from the code (`make generate`)."""
