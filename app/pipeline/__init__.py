"""The pipeline: detector, landmark net, embedder, verifier, and the analyzer that owns them."""
