"""What the tests that start `facet bulk` share."""

import os

ENVIRONMENT = {**os.environ, "FACE_DEVICE": "cpu", "ORT_DISABLE_TELEMETRY": "1"}
WAIT_S = 150
