"""The pipeline: detection, landmarks, embedding and verification on images in memory."""
