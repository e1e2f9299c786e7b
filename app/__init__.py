"""Facet's service: decode, detect, align, landmarks, embed, verify, over HTTP and on the command line."""
