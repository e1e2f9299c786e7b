"""Facet's service: decode, detect, align, landmarks, embed, verify, over HTTP and on the command line."""

import os

# ONNX Runtime reports its use to its publisher unless this is set before it is imported. The service contacts
# nobody. An operator who wants these reports sets the variable to 0.
if not os.environ.get("ORT_DISABLE_TELEMETRY"):
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
