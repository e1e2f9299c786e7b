"""Facet: face detection, landmarks, embedding and verification, over HTTP and on the command line."""

import os

# ONNX Runtime sends usage reports to its publisher unless this variable is set before the import. Facet sends
# nothing about its use to anyone. Set the variable to 0 to allow the reports.
if not os.environ.get("ORT_DISABLE_TELEMETRY"):
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
