"""Keras functional builders, one file a family. Multi-backend: `keras` only, never raw TensorFlow."""
