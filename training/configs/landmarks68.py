"""68 points by the trunk of MediaPipe's face mesh, whose heatmaps are read by their centre of mass, on 300-W.

    python -m training.prepare landmarks --data DATA --out cache/300w
    python -m training.train landmarks68 --data cache/300w

The trunk starts from the published weights. The service averages the points with those of the mirrored crop.
Validation NME: 3.75% (`training/records/landmarks68`), without the mirrored crop. Test set: models/README.md.
Other attempts: docs/experiments/landmark-nets.md.
"""

import keras

from training.configs import landmarks68_unet
from training.models.landmarks68 import MESH_SIZE, mesh_landmark_net

CONFIG = landmarks68_unet.CONFIG.model_copy(
    update={
        "name": "landmarks68",
        "size": MESH_SIZE,
        "start_from": "imported",
        "flip_average": True,
        "epochs": 160,
        "learning_rate": 1.5e-3,
        "warmup_epochs": 2,
        "augment": landmarks68_unet.CONFIG.augment.model_copy(update={"rotate": 8}),
    }
)


def build() -> keras.Model:
    """Return the untrained net."""
    return mesh_landmark_net(68, "landmarks68")
