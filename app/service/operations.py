"""The operations: from encoded bytes to an answer. A worker thread or the command line runs them."""

from dataclasses import dataclass
from typing import Literal

from app.errors import BadParameter
from app.pipeline.analyzer import Analyzer
from app.pipeline.detector import Detector
from app.pipeline.faces import Faces
from app.pipeline.verifier import choose_threshold
from app.runtime.timing import Timing, current_timing
from app.service import boxes
from app.service.limits import Limits
from app.service.requests import DetectQuery, VerifyQuery
from app.service.responses import (
    DetectResponse,
    EmbedResponse,
    Face,
    FaceWithEmbedding,
    FaceWithLandmarks,
    LandmarksResponse,
    Size,
    VerifyResponse,
    rounded,
)
from app.service.upload import Upload
from app.vision import image as images
from app.vision.draw import Marks, draw
from app.vision.pyramid import Image, ImagePyramid


@dataclass(frozen=True)
class ImageResult:
    """An answer about one picture, and what is needed to draw it."""

    response: DetectResponse | LandmarksResponse | EmbedResponse
    image: Image
    faces: Faces

    def drawn(self, format: Literal["png", "jpeg"]) -> bytes:
        """Return the encoded picture with the answer drawn on it."""
        faces, marks = self.faces, None
        if isinstance(self.response, LandmarksResponse) and faces.landmarks is not None:
            marks = Marks(faces.landmarks, self.response.scheme)
        return images.encode(draw(self.image, faces.boxes, faces.scores, faces.points, marks), format)


class Operations:
    """Detection, landmarks, embedding and verification within the limits of the service.

    All operations raise BadImage, BadParameter and UnknownModel, and what the request's context raises.
    """

    def __init__(self, analyzer: Analyzer, limits: Limits) -> None:
        self.analyzer = analyzer
        self.limits = limits

    def detect(self, upload: Upload, query: DetectQuery) -> ImageResult:
        """Return the faces of a picture."""
        timing = current_timing() or Timing()
        detector = self.analyzer.detector(query.model)
        image, _, faces = self._find_faces(upload, query, detector, timing)
        response = DetectResponse(
            image=Size.of(image),
            faces=Face.all_of(faces),
            model=detector.name,
            timing_ms=rounded(timing.finish(len(faces))),
        )
        return ImageResult(response, image, faces)

    def landmarks(self, upload: Upload, query: DetectQuery) -> ImageResult:
        """Return the faces of a picture, or those of the given boxes, with landmarks."""
        timing = current_timing() or Timing()
        landmarker, detector = self.analyzer.landmarker(query.model), self.analyzer.detector(None)
        image, picture, faces = self._find_faces(upload, query, detector, timing)
        faces = self.analyzer.landmarks(picture, faces, landmarker, timing)
        response = LandmarksResponse(
            image=Size.of(image),
            faces=FaceWithLandmarks.all_of(faces),
            scheme=landmarker.scheme,
            model=landmarker.name,
            detector=detector.name,
            timing_ms=rounded(timing.finish(len(faces))),
        )
        return ImageResult(response, image, faces)

    def embed(self, upload: Upload, query: DetectQuery) -> ImageResult:
        """Return the faces of a picture, or those of the given boxes, with embeddings."""
        timing = current_timing() or Timing()
        embedder, detector = self.analyzer.embedder(query.model), self.analyzer.detector(None)
        image, picture, faces = self._find_faces(upload, query, detector, timing)
        faces = self.analyzer.embed(picture, faces, embedder, timing)
        response = EmbedResponse(
            image=Size.of(image),
            faces=FaceWithEmbedding.all_of(faces),
            dimension=embedder.spec.dimension,
            model=embedder.spec.model,
            detector=detector.name,
            timing_ms=rounded(timing.finish(len(faces))),
        )
        return ImageResult(response, image, faces)

    def verify(self, pair: tuple[bytes, bytes], query: VerifyQuery) -> VerifyResponse:
        """Return whether the largest faces of two pictures are the same person. Raises NoFace too."""
        timing = current_timing() or Timing()
        embedder = self.analyzer.embedder(query.model)
        threshold = choose_threshold(embedder.spec, query.threshold, query.far)
        with timing.stage("decode"):
            a = images.decode(pair[0], self.limits.image_pixels, "image_a")
            b = images.decode(pair[1], self.limits.image_pixels, "image_b")
        comparison = self.analyzer.verify((a, b), embedder, threshold, timing)
        verdict = comparison.verdict
        return VerifyResponse(
            verified=verdict.verified,
            similarity=verdict.similarity,
            probability=verdict.probability,
            threshold=threshold.value,
            far=threshold.far,
            metric=embedder.spec.metric,
            model=embedder.spec.model,
            detector=self.analyzer.detector(None).name,
            face_a=Face.all_of(comparison.face_a)[0],
            face_b=Face.all_of(comparison.face_b)[0],
            timing_ms=rounded(timing.finish(2)),
        )

    def _find_faces(
        self, upload: Upload, query: DetectQuery, detector: Detector, timing: Timing
    ) -> tuple[Image, ImagePyramid, Faces]:
        """Decode the picture and detect its faces, or locate those of the given boxes."""
        options = query.options(self.limits.faces)
        with timing.stage("decode"):
            image = images.decode(upload.image, self.limits.image_pixels, "image")
        picture = ImagePyramid(image)
        if upload.boxes is not None:
            boxes.check_overlap(upload.boxes, picture.width, picture.height)
            return image, picture, detector.locate(picture, upload.boxes, timing)
        self._check_scale(detector, picture, options.min_face_size)
        return image, picture, detector.detect(picture, options, timing)

    def _check_scale(self, detector: Detector, picture: ImagePyramid, min_face_size: float) -> None:
        """Refuse a search for which the picture would be enlarged beyond the pixel limit."""
        limit = self.limits.image_pixels
        pixels = detector.enlarged_pixels(picture.width, picture.height, min_face_size)
        if pixels > limit:
            smallest = min_face_size * (pixels / limit) ** 0.5
            raise BadParameter(
                f"Faces of {min_face_size:g} pixels cannot be searched for in a picture of "
                f"{picture.width}x{picture.height}: it would be enlarged beyond the limit of {limit} pixels. "
                f"Set min_face_size to {smallest:.1f} or more.",
                "min_face_size",
            )
