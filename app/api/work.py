"""The work of each address, from encoded bytes to an answer; a worker thread or the command line runs it."""

from dataclasses import dataclass
from typing import Literal

from app.api import boxes as box_field
from app.api.params import DetectQuery, VerifyQuery
from app.api.reading import Upload
from app.api.schemas import (
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
from app.api.service import Limits
from app.errors import BadParameter
from app.pipeline.analyzer import Analyzer
from app.pipeline.detector import DetectOptions, Detector
from app.pipeline.faces import Faces, Timing
from app.vision import image as images
from app.vision.draw import Marks, draw
from app.vision.pyramid import Image


@dataclass(frozen=True)
class Seen:
    """An answer about one picture, and what it takes to draw it there."""

    response: DetectResponse | LandmarksResponse | EmbedResponse
    image: Image
    faces: Faces

    def drawn(self, format: Literal["png", "jpeg"]) -> bytes:
        """The picture, encoded, with the answer drawn on it."""
        faces, marks = self.faces, None
        if isinstance(self.response, LandmarksResponse) and faces.landmarks is not None:
            marks = Marks(faces.landmarks, self.response.scheme)
        return images.encode(draw(self.image, faces.boxes, faces.scores, faces.points, marks), format)


def detect(analyzer: Analyzer, limits: Limits, upload: Upload, query: DetectQuery) -> Seen:
    """The picture's faces."""
    options = query.options(limits.faces)
    analyzer.detector(query.model)  # an unknown model fails before any work
    timing = Timing()
    image = _decode(upload, limits, timing)
    _check_scale(analyzer.detector(query.model), image, options, limits)
    faces = analyzer.detect(image, query.model, options, timing)
    response = DetectResponse(
        image=Size.of(image),
        faces=Face.all_of(faces),
        model=query.model or analyzer.defaults.detect,
        timing_ms=rounded(timing.finish(len(faces))),
    )
    return Seen(response, image, faces)


def landmarks(analyzer: Analyzer, limits: Limits, upload: Upload, query: DetectQuery) -> Seen:
    """The picture's faces, or those of the given boxes, with landmarks."""
    options = query.options(limits.faces)
    scheme = analyzer.landmarker(query.model).scheme
    timing = Timing()
    image = _decode(upload, limits, timing)
    if upload.boxes is None:
        _check_scale(analyzer.detector(None), image, options, limits)
    faces = analyzer.landmarks(image, query.model, options, timing, upload.boxes)
    response = LandmarksResponse(
        image=Size.of(image),
        faces=FaceWithLandmarks.all_of(faces),
        scheme=scheme,
        model=query.model or analyzer.defaults.landmarks,
        detector=analyzer.defaults.detect,
        timing_ms=rounded(timing.finish(len(faces))),
    )
    return Seen(response, image, faces)


def embed(analyzer: Analyzer, limits: Limits, upload: Upload, query: DetectQuery) -> Seen:
    """The picture's faces, or those of the given boxes, with embeddings."""
    options = query.options(limits.faces)
    dimension = analyzer.embedder(query.model).spec.dimension
    timing = Timing()
    image = _decode(upload, limits, timing)
    if upload.boxes is None:
        _check_scale(analyzer.detector(None), image, options, limits)
    faces = analyzer.embed(image, query.model, options, timing, upload.boxes)
    response = EmbedResponse(
        image=Size.of(image),
        faces=FaceWithEmbedding.all_of(faces),
        dimension=dimension,
        model=query.model or analyzer.defaults.embed,
        detector=analyzer.defaults.detect,
        timing_ms=rounded(timing.finish(len(faces))),
    )
    return Seen(response, image, faces)


def verify(
    analyzer: Analyzer, limits: Limits, pair: tuple[bytes, bytes], query: VerifyQuery
) -> VerifyResponse:
    """Whether the largest faces of two pictures are of one person."""
    analyzer.embedder(query.model)
    timing = Timing()
    with timing.stage("decode"):
        a = images.decode(pair[0], limits.image_pixels, "image_a")
        b = images.decode(pair[1], limits.image_pixels, "image_b")
    found = analyzer.verify((a, b), query.model, query.threshold, query.far, timing)
    return VerifyResponse(
        verified=found.verdict.verified,
        similarity=found.verdict.similarity,
        probability=found.verdict.probability,
        threshold=found.verdict.bar.threshold,
        far=found.verdict.bar.far,
        metric=analyzer.embedder(query.model).spec.metric,
        model=query.model or analyzer.defaults.embed,
        detector=analyzer.defaults.detect,
        face_a=Face.all_of(found.face_a)[0],
        face_b=Face.all_of(found.face_b)[0],
        timing_ms=rounded(timing.finish(2)),
    )


def _check_scale(detector: Detector, image: Image, options: DetectOptions, limits: Limits) -> None:
    """Faces too small for the detector's window enlarge the picture: no further than a picture may be."""
    height, width = image.shape[:2]
    pixels = detector.enlarged_pixels(width, height, options.min_face_size)
    if pixels > limits.image_pixels:
        least = options.min_face_size * (pixels / limits.image_pixels) ** 0.5
        raise BadParameter(
            f"Faces of {options.min_face_size:g} pixels cannot be sought in a picture of {width}x{height}: "
            f"it would be enlarged beyond the limit of {limits.image_pixels} pixels. "
            f"Ask for a min_face_size of {least:.1f} or more.",
            "min_face_size",
        )


def _decode(upload: Upload, limits: Limits, timing: Timing) -> Image:
    with timing.stage("decode"):
        image = images.decode(upload.image, limits.image_pixels, "image")
    if upload.boxes is not None:
        box_field.check_overlap(upload.boxes, image.shape[1], image.shape[0])
    return image
