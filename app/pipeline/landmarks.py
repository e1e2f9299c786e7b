"""Landmark regression: aligns faces by five points, and predicts the points of a scheme."""

from jaxtyping import Float32, UInt8
from numpy import ndarray

from app.errors import BadModel
from app.runtime.session import ModelSession
from app.vision import align
from app.vision.points import COUNTS, Scheme
from app.vision.pyramid import ImagePyramid
from app.vision.spec import LandmarkSpec


class Landmarker:
    """A landmark net on faces that are aligned by five points.

    Args:
        session: the session of the net.

    Attributes:
        spec: the spec of the net.

    Raises:
        BadModel: the net is not a landmark net.
    """

    def __init__(self, session: ModelSession) -> None:
        if not isinstance(session.spec, LandmarkSpec):
            raise BadModel(f"{session.spec.model} is not a landmark net.")
        self.spec: LandmarkSpec = session.spec
        self._session = session
        self._template = align.template(self.spec.template, self.spec.size)

    @property
    def name(self) -> str:
        """The name of the model."""
        return self.spec.model

    @property
    def scheme(self) -> Scheme:
        """The landmark scheme: the points and their order."""
        return self.spec.scheme

    def __call__(self, picture: ImagePyramid, points: Float32[ndarray, "n 5 2"]) -> Float32[ndarray, "n k 2"]:
        """Return the landmarks of faces, in pixels of the image.

        Args:
            picture: the image.
            points: five points per face, in pixels of the image.
        """
        return self.regress(*self.crops(picture, points))

    def crops(
        self, picture: ImagePyramid, points: Float32[ndarray, "n 5 2"]
    ) -> tuple[UInt8[ndarray, "n size size 3"], Float32[ndarray, "n 2 3"]]:
        """Return aligned crops of faces, and the transforms from the image to the crops.

        Args:
            picture: the image.
            points: five points per face, in pixels of the image.
        """
        transforms = align.umeyama(points, self._template)
        return align.warp(picture, transforms, self.spec.size), transforms

    def regress(
        self, crops: UInt8[ndarray, "n size size 3"], transforms: Float32[ndarray, "n 2 3"]
    ) -> Float32[ndarray, "n k 2"]:
        """Return the landmarks of aligned crops, in pixels of the image.

        Args:
            crops: the crops that `crops` returned.
            transforms: their transforms.
        """
        unit = self._session.run(crops)["points"].reshape(-1, COUNTS[self.scheme], 2)
        return align.apply(align.invert(transforms), unit * self.spec.size - 0.5)
