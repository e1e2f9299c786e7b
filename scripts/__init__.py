"""Scripts that generate files from the code (`make generate`)."""
