"""Readers of image formats. Each separates the pixels of a file from its metadata.

Metadata never decides whether an image is read: only what describes the pixels reaches a decoder.
"""
