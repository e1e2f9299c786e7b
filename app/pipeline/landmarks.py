"""Landmark regression: five points per face in, the points of a scheme out."""

from jaxtyping import Float32, UInt8
from numpy import ndarray

from app.errors import BadModel
from app.runtime.session import ModelSession
from app.vision import align
from app.vision.points import COUNTS, Scheme
from app.vision.pyramid import ImagePyramid
from app.vision.spec import LandmarkSpec


class Landmarker:
    """A landmark net on faces aligned by five points.

    Raises:
        BadModel: the session is not that of a landmark net.
    """

    def __init__(self, session: ModelSession) -> None:
        if not isinstance(session.spec, LandmarkSpec):
            raise BadModel(f"{session.spec.model} is not a landmark net")
        self.spec: LandmarkSpec = session.spec
        self._session = session
        self._template = align.template(self.spec.template, self.spec.size)

    @property
    def name(self) -> str:
        """The model's name."""
        return self.spec.model

    @property
    def scheme(self) -> Scheme:
        """Which points it finds, in which order."""
        return self.spec.scheme

    def __call__(self, picture: ImagePyramid, points: Float32[ndarray, "n 5 2"]) -> Float32[ndarray, "n k 2"]:
        """Return landmarks in pixels of the picture for faces with five points each."""
        return self.regress(*self.crops(picture, points))

    def crops(
        self, picture: ImagePyramid, points: Float32[ndarray, "n 5 2"]
    ) -> tuple[UInt8[ndarray, "n size size 3"], Float32[ndarray, "n 2 3"]]:
        """Return the faces aligned by their five points, and the transforms from the picture to the crops."""
        transforms = align.umeyama(points, self._template)
        return align.warp(picture, transforms, self.spec.size), transforms

    def regress(
        self, crops: UInt8[ndarray, "n size size 3"], transforms: Float32[ndarray, "n 2 3"]
    ) -> Float32[ndarray, "n k 2"]:
        """Return the landmarks of aligned faces, in pixels of the picture."""
        unit = self._session.run(crops)["points"].reshape(-1, COUNTS[self.scheme], 2)
        return align.apply(align.invert(transforms), unit * self.spec.size - 0.5)
