"""Published weights to Keras nets, each with its source's sha256 checked and its parity proved."""
