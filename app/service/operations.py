"""The operations: from encoded images to responses. A worker thread or the command line runs them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from app.errors import BadParameter
from app.pipeline.analyzer import Analyzer
from app.pipeline.detector import Detector
from app.pipeline.faces import Faces
from app.pipeline.largest_face import detect_largest
from app.pipeline.verifier import choose_threshold
from app.runtime.timing import Timing, current_timing
from app.service import boxes
from app.service.compared_faces import ComparedFaces, Wanted, check_box, one_face
from app.service.costs import LEVELS, MS_PER_EMBEDDING, MS_PER_LANDMARKS, expect_pixels
from app.service.limits import Limits
from app.service.model_info import ModelsResponse, Weights
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
    """The result of an operation on one image.

    Attributes:
        response: the response.
        faces: the faces of the response, as arrays.
        load: returns the decoded image, which the result can be drawn on.
    """

    response: DetectResponse | LandmarksResponse | EmbedResponse
    faces: Faces
    load: Callable[[], Image]

    def drawn(self, format: Literal["png", "jpeg"]) -> bytes:
        """Return the image with the faces drawn on it, encoded as PNG or JPEG.

        Raises:
            BadParameter: a side of the image is longer than the format allows.
        """
        faces, marks = self.faces, None
        if isinstance(self.response, LandmarksResponse) and faces.landmarks is not None:
            marks = Marks(faces.landmarks, self.response.scheme)
        scores = [f"{score:.2f}" for score in faces.scores]
        return images.encode(draw(self.load(), faces.boxes, scores, faces.points, marks), format)


class Operations:
    """Detection, landmarks, embedding and verification within the limits of the service.

    All operations pass on BadImage, BadParameter and UnknownModel, the errors of the request's context
    (`RequestContext.check`), and OutOfMemory of the device.

    Attributes:
        analyzer: the loaded models.
        limits: limits on requests.
    """

    def __init__(self, analyzer: Analyzer, limits: Limits) -> None:
        self.analyzer = analyzer
        self.limits = limits

    def detect(self, upload: Upload, query: DetectQuery) -> ImageResult:
        """Return the faces of an image, by descending score.

        Args:
            upload: the encoded image.
            query: the parameters of the request; `model` names a detector.
        """
        timing = current_timing() or Timing()
        detector = self.analyzer.detector(query.model)
        image, _, faces = self.find_faces(upload, query, detector, timing)
        response = DetectResponse(
            image=Size.of(image),
            faces=Face.all_of(faces),
            model=detector.name,
            timing_ms=rounded(timing.finish(len(faces))),
        )
        return ImageResult(response, faces, lambda: image)

    def landmarks(self, upload: Upload, query: DetectQuery) -> ImageResult:
        """Return the faces of an image with landmarks.

        Args:
            upload: the encoded image. If it has boxes, they replace detection.
            query: the parameters of the request; `model` names a landmark model.
        """
        timing = current_timing() or Timing()
        landmarker, detector = self.analyzer.landmarker(query.model), self.analyzer.detector(None)
        image, picture, faces = self.find_faces(upload, query, detector, timing)
        timing.expect(len(faces) * MS_PER_LANDMARKS)
        faces = self.analyzer.landmarks(picture, faces, landmarker, timing)
        response = LandmarksResponse(
            image=Size.of(image),
            faces=FaceWithLandmarks.all_of(faces),
            scheme=landmarker.scheme,
            model=landmarker.name,
            detector=detector.name,
            timing_ms=rounded(timing.finish(len(faces))),
        )
        return ImageResult(response, faces, lambda: image)

    def embed(self, upload: Upload, query: DetectQuery) -> ImageResult:
        """Return the faces of an image with embeddings.

        Args:
            upload: the encoded image. If it has boxes, they replace detection.
            query: the parameters of the request; `model` names an embedder.
        """
        timing = current_timing() or Timing()
        embedder, detector = self.analyzer.embedder(query.model), self.analyzer.detector(None)
        image, picture, faces = self.find_faces(upload, query, detector, timing, embeds=True)
        timing.expect(len(faces) * MS_PER_EMBEDDING)
        faces = self.analyzer.embed(picture, faces, embedder, timing, query.quality)
        response = EmbedResponse(
            image=Size.of(image),
            faces=FaceWithEmbedding.all_of(faces),
            dimension=embedder.spec.dimension,
            model=embedder.spec.model,
            detector=detector.name,
            timing_ms=rounded(timing.finish(len(faces))),
        )
        return ImageResult(response, faces, lambda: image)

    def verify(self, pair: tuple[bytes, bytes], query: VerifyQuery) -> VerifyResponse:
        """Return whether the largest faces of two images are the same person.

        Args:
            pair: the two encoded images.
            query: the parameters of the request; `model` names an embedder.

        Raises:
            NoFace: an image contains no face.
        """
        timing = current_timing() or Timing()
        embedder = self.analyzer.embedder(query.model)
        threshold = choose_threshold(embedder.spec, query.threshold, query.far)
        with timing.stage("decode"):
            a, b = (
                images.decode(data, self.limits.image_pixels, field, partial(expect_pixels, timing))
                for data, field in zip(pair, ("image_a", "image_b"), strict=True)
            )
        comparison = self.analyzer.verify((a, b), embedder, threshold, timing, query.orientation)
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

    def compared_faces(
        self,
        upload: Upload,
        query: DetectQuery,
        wanted: Wanted,
        on_found: Callable[[int], None] = lambda faces: None,
    ) -> ComparedFaces:
        """Return faces of an image with embeddings, to compare them with others.

        Args:
            upload: the encoded image. If it has a box, its face is the one that is wanted.
            query: the parameters of the detection, without a model.
            wanted: which faces, and by which model.
            on_found: receives the number of faces, if possible before their embeddings are computed; an error
                that it raises ends the operation.

        Raises:
            NoFace: one face is wanted, and there is none.
            SeveralFaces: the only face is wanted, and there are several.
        """
        timing = current_timing() or Timing()
        embedder, detector = self.analyzer.embedder(wanted.model), self.analyzer.detector(None)
        largest = wanted.which == "largest"
        image, picture, faces = self.find_faces(upload, query, detector, timing, largest=largest)
        if wanted.which != "all":
            if upload.boxes is None:
                faces = one_face(faces, Size.of(image), only=wanted.which == "only")
            else:
                check_box(detector, picture, faces, query.orientation, timing)
        timing.expect(len(faces) * MS_PER_EMBEDDING)  # may end the job, which then starts again
        on_found(len(faces))
        with_quality = wanted.quality and self.analyzer.measures_quality
        faces = self.analyzer.embed(picture, faces, embedder, timing, with_quality)
        return ComparedFaces(Size.of(image), faces, lambda: picture)

    def models(self, weights: Weights) -> ModelsResponse:
        """Return the information on all models that run the operations.

        Args:
            weights: which weights may be used, see FACE_WEIGHTS.
        """
        return ModelsResponse.of(self.analyzer, weights)

    def check_ready(self) -> None:
        """Check that the models can be used now. Those of this process always can."""

    def close(self) -> None:
        """Release what the operations use. None may run any more."""

    def find_faces(
        self,
        upload: Upload,
        query: DetectQuery,
        detector: Detector,
        timing: Timing,
        *,
        embeds: bool = False,
        largest: bool = False,
    ) -> tuple[Image, ImagePyramid, Faces]:
        """Return the decoded image, its pyramid, and its faces: detected, or those of the given boxes.

        The faces have poses and qualities if the request asks for them. If the operation embeds the faces
        anyway (`embeds`), it adds the qualities itself. If it needs the largest face alone (`largest`), no
        other is detected.
        """
        options = query.options(self.limits.faces)
        if "min_face_size" in query.model_fields_set:  # whoever asks for a size gets it in large images too
            options = replace(options, search_pixels=self.limits.image_pixels)
        on_pixels = partial(expect_pixels, timing)
        with timing.stage("decode"):
            image = images.decode(upload.image, self.limits.image_pixels, "image", on_pixels)
        picture = ImagePyramid(image)
        if upload.boxes is not None:
            boxes.check_overlap(upload.boxes, picture.width, picture.height, upload.box_field)
            locate = detector.locate if options.orientation == "upright" else detector.locate_turned
            faces = locate(picture, upload.boxes, timing)
        else:
            enlarged = self._check_scale(detector, picture, options.min_face_size)
            if "min_face_size" in query.model_fields_set:
                expect_pixels(timing, enlarged * LEVELS)
            if largest:
                faces = detect_largest(detector, picture, options, timing)
            else:
                faces = detector.detect(picture, options, timing)
        if query.pose:
            timing.expect(len(faces) * MS_PER_LANDMARKS)
            faces = self.analyzer.poses(picture, faces, timing)
        if query.quality and not embeds:
            timing.expect(len(faces) * MS_PER_EMBEDDING)
            faces = replace(self.analyzer.qualities(picture, faces, timing), embeddings=None)
        return image, picture, faces

    def _check_scale(self, detector: Detector, picture: ImagePyramid, min_face_size: float) -> float:
        """Check that the search does not enlarge the image beyond the pixel limit.

        Returns:
            The number of pixels of the scale at which the smallest face fills one cell.

        Raises:
            BadParameter: `min_face_size` is too small for this image.
        """
        limit = self.limits.image_pixels
        pixels = detector.enlarged_pixels(picture.width, picture.height, min_face_size)
        if pixels > limit:
            smallest = min_face_size * (pixels / limit) ** 0.5
            raise BadParameter(
                f"The parameter min_face_size is {min_face_size:g}. For this value the image of "
                f"{picture.width} x {picture.height} pixels would be enlarged beyond the limit of {limit} "
                f"pixels. Set min_face_size to {smallest:.1f} or more.",
                "min_face_size",
            )
        return pixels
