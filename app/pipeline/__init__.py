"""The pipeline: detection, landmarks, embedding and verification on pictures in memory."""
