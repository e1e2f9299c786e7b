"""Columns of the labels and of the outputs of the cascade's nets (P-, R- and O-Net)."""


class Label:
    """Columns of a label array (..., `WIDTH`); O-Net's arrays have points too (..., `WIDTH_WITH_POINTS`).

    A weight is 0 where a sample has no label of that kind, else 1.
    """

    FACE = 0
    FACE_WEIGHT = 1
    OFFSETS = slice(2, 6)
    OFFSETS_WEIGHT = 6
    POINTS = slice(7, 17)
    POINTS_WEIGHT = 17

    WIDTH = 7
    WIDTH_WITH_POINTS = 18


class Output:
    """Columns of a net's output: the score's logit, four offsets and, for O-Net, five points as x, y."""

    LOGIT = 0
    OFFSETS = slice(1, 5)
    POINTS = slice(5, 15)


def label_width(stage: str) -> int:
    """Return the number of label columns of a stage."""
    return Label.WIDTH_WITH_POINTS if stage == "onet" else Label.WIDTH
