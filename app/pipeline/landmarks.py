"""Landmark regression: five points in, a scheme's points out."""

from jaxtyping import Float32, UInt8
from numpy import ndarray

from app.errors import BadModel
from app.runtime.session import ModelSession
from app.vision import align
from app.vision.points import COUNTS, Scheme
from app.vision.pyramid import Octaves
from app.vision.spec import LandmarkSpec


class Landmarker:
    """A landmark net on faces aligned by five points."""

    def __init__(self, session: ModelSession) -> None:
        if not isinstance(session.spec, LandmarkSpec):
            raise BadModel(f"{session.spec.model} is no landmark net")
        self.spec: LandmarkSpec = session.spec
        self._session = session
        self._template = align.template(self.spec.template, self.spec.size)

    @property
    def scheme(self) -> Scheme:
        return self.spec.scheme

    def __call__(self, picture: Octaves, points: Float32[ndarray, "n 5 2"]) -> Float32[ndarray, "n k 2"]:
        """Points (n, k, 2) in pixels of the picture for faces with five points each."""
        return self.find(*self.crops(picture, points))

    def crops(
        self, picture: Octaves, points: Float32[ndarray, "n 5 2"]
    ) -> tuple[UInt8[ndarray, "n size size 3"], Float32[ndarray, "n 2 3"]]:
        """The faces aligned by their five points, and what took the picture there."""
        transforms = align.umeyama(points, self._template)
        return align.warp(picture, transforms, self.spec.size), transforms

    def find(
        self, crops: UInt8[ndarray, "n size size 3"], transforms: Float32[ndarray, "n 2 3"]
    ) -> Float32[ndarray, "n k 2"]:
        """The points on aligned faces, in pixels of the picture."""
        unit = self._session.run(crops)["points"].reshape(-1, COUNTS[self.scheme], 2)
        return align.apply(align.invert(transforms), unit * self.spec.size - 0.5)
