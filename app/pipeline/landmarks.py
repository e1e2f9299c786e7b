"""Landmark regression: aligns faces by five points, and predicts the points of a scheme."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float32, UInt8
from numpy import ndarray

from app.errors import BadModel
from app.runtime.session import ModelSession
from app.runtime.timing import Timing
from app.vision import align, mesh
from app.vision.points import COUNTS, MIRROR, Scheme
from app.vision.pyramid import ImagePyramid
from app.vision.spec import LandmarkSpec, MeshSpec


class Landmarker:
    """A landmark net on faces that are aligned by five points.

    Args:
        session: the session of the net.

    Attributes:
        spec: the spec of the net.

    Raises:
        BadModel: the net is not a landmark net.
    """

    spec: LandmarkSpec | MeshSpec

    def __init__(self, session: ModelSession) -> None:
        if not isinstance(session.spec, LandmarkSpec | MeshSpec):
            raise BadModel(f"{session.spec.model} is not a landmark net.")
        self.spec = session.spec
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

    def __call__(
        self, picture: ImagePyramid, points: Float32[ndarray, "n 5 2"], timing: Timing | None = None
    ) -> Float32[ndarray, "n k d"]:
        """Return the landmarks of faces, in pixels of the image; d is 2, or 3 with depth.

        Args:
            picture: the image.
            points: five points per face, in pixels of the image.
            timing: receives the times of the stages `align` and `landmarks`.
        """
        assert isinstance(self.spec, LandmarkSpec)
        timing = timing or Timing()
        with timing.stage("align"):
            transforms = align.umeyama(points, self._template)
            crops = align.warp(picture, transforms, self.spec.size)
        with timing.stage("landmarks"):
            unit, _ = self._unit(crops, self.scheme, 2, self.spec.flip_average)
            return align.apply(align.invert(transforms), unit * self.spec.size - 0.5)

    def _unit(
        self, crops: UInt8[ndarray, "n size size 3"], scheme: Scheme, dimensions: int, mirrored: bool
    ) -> tuple[Float32[ndarray, "n k d"], Mapping[str, ndarray]]:
        """Return the net's points in units of the crops, and all of its outputs.

        If `mirrored`, the points are averaged with those of the mirrored crops, which the outputs include.
        """
        n = len(crops)
        if mirrored:
            crops = np.concatenate([crops, crops[:, :, ::-1]])
        out = self._session.run(crops)
        unit = out["points"].reshape(len(crops), COUNTS[scheme], dimensions)
        if mirrored:
            other = unit[n:, MIRROR[scheme]]
            other[:, :, 0] = 1 - other[:, :, 0]
            unit = (unit[:n] + other) / 2
        return unit, out


class MeshLandmarker(Landmarker):
    """A face mesh, or iBUG's 68 points made of it.

    The mesh of a first crop, aligned by the five points, gives the region of a second crop. There the mesh
    and that of the mirrored crop are averaged.

    Args:
        session: the session of the net.

    Raises:
        BadModel: the net is not a face mesh.
    """

    spec: MeshSpec

    def __init__(self, session: ModelSession) -> None:
        if not isinstance(session.spec, MeshSpec):
            raise BadModel(f"{session.spec.model} is not a face mesh.")
        super().__init__(session)

    def __call__(
        self, picture: ImagePyramid, points: Float32[ndarray, "n 5 2"], timing: Timing | None = None
    ) -> Float32[ndarray, "n k d"]:
        """Return the landmarks of faces, in pixels of the image; d is 2, or 3 with depth.

        Args:
            picture: the image.
            points: five points per face, in pixels of the image.
            timing: receives the times of the stages `align` and `landmarks`.
        """
        return self.landmarks_of(self.meshes(picture, points, timing or Timing()))

    def landmarks_of(self, meshes: Float32[ndarray, "n 468 3"]) -> Float32[ndarray, "n k d"]:
        """Return the points of the scheme, made of meshes; d is 2, or 3 with depth."""
        return mesh.ibug68(meshes) if self.scheme == "ibug68" else meshes

    def meshes(
        self, picture: ImagePyramid, points: Float32[ndarray, "n 5 2"], timing: Timing
    ) -> Float32[ndarray, "n 468 3"]:
        """Return the meshes of faces: x, y in pixels of the image, and the depth in the same unit.

        Args:
            picture: the image.
            points: five points per face, in pixels of the image.
            timing: receives the times of the stages `align` and `landmarks`.
        """
        first, _ = self.first_pass(picture, points, timing)
        second = mesh.regions(first, self.spec.extent, self.spec.size)
        return self._pass(picture, second, timing, mirrored=True)[0]

    def first_pass(
        self, picture: ImagePyramid, points: Float32[ndarray, "n 5 2"], timing: Timing
    ) -> tuple[Float32[ndarray, "n 468 3"], Float32[ndarray, " n"]]:
        """Return the meshes of the first crops, and the logits of the presence of a face in them.

        Args:
            picture: the image.
            points: five points per face, in pixels of the image.
            timing: receives the times of the stages `align` and `landmarks`.
        """
        return self._pass(picture, align.umeyama(points, self._template), timing)

    def _pass(
        self,
        picture: ImagePyramid,
        transforms: Float32[ndarray, "n 2 3"],
        timing: Timing,
        mirrored: bool = False,
    ) -> tuple[Float32[ndarray, "n 468 3"], Float32[ndarray, " n"]]:
        """Return the meshes of crops, and the logits of the presence of a face.

        If `mirrored`, the meshes are averaged with those of the mirrored crops.
        """
        size = self.spec.size
        with timing.stage("align"):
            crops = align.warp(picture, transforms, size)
        with timing.stage("landmarks"):
            unit, out = self._unit(crops, "mesh468", 3, mirrored)
            back = align.invert(transforms)
            flat = align.apply(back, unit[:, :, :2] * size - 0.5)
            side = size * np.linalg.norm(back[:, :, 0], axis=1)  # of the crop, in pixels of the image
            meshes = np.concatenate([flat, unit[:, :, 2:] * side[:, None, None]], axis=2)
            return meshes, out["presence"][: len(crops), 0]


def landmarker_of(session: ModelSession) -> Landmarker:
    """Return the landmark model of a session.

    Raises:
        BadModel: the net is not a landmark net.
    """
    return MeshLandmarker(session) if isinstance(session.spec, MeshSpec) else Landmarker(session)
