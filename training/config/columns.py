"""Names of the columns of the label arrays and of the outputs of the nets.

The data package writes these arrays, and the losses read them. A net and its loss exchange one array each.
"""


class CascadeLabel:
    """Columns of a label array of P-, R- and O-Net: (..., `WIDTH`), with points (..., `WIDTH_WITH_POINTS`).

    A weight is 1 if the sample has a label of that kind, else 0.
    """

    FACE = 0
    FACE_WEIGHT = 1
    OFFSETS = slice(2, 6)
    OFFSETS_WEIGHT = 6
    POINTS = slice(7, 17)
    POINTS_WEIGHT = 17

    WIDTH = 7
    WIDTH_WITH_POINTS = 18


class CascadeOutput:
    """Columns of an output of P-, R- and O-Net: the logit of the score, four offsets, five points as x, y."""

    LOGIT = 0
    OFFSETS = slice(1, 5)
    POINTS = slice(5, 15)


class TripletLabel:
    """Columns of a label array of the triplet loss, (n, 1 + n): the person, and random scores in [0, 1)."""

    PERSON = 0
    SCORES = slice(1, None)


class PairLabel:
    """Columns of a label array of the Siamese network, (n, 3)."""

    SAME = 0
    LEFT_PERSON = 1
    RIGHT_PERSON = 2


class PairOutput:
    """Columns of an output of the Siamese network in training: logit, RMS distance, logits of all pairs."""

    LOGIT = 0
    DISTANCE = 1
    ALL_PAIRS = slice(2, None)


def cascade_label_width(points: bool) -> int:
    """Return the number of label columns of a net with or without points."""
    return CascadeLabel.WIDTH_WITH_POINTS if points else CascadeLabel.WIDTH
