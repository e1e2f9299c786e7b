"""The operations of the gallery on images: enrol a face, identify faces, compare a face with a person."""

import hashlib
from dataclasses import replace

from app.errors import BadParameter, NoFace
from app.gallery import records
from app.gallery.assignment import assign
from app.gallery.gallery import Gallery
from app.gallery.index import Match
from app.gallery.records import Collection, NewFace, Person
from app.pipeline import verifier
from app.pipeline.faces import Faces
from app.pipeline.open_set import DEFAULT_FPIR, near_duplicate_threshold, threshold_for_fpir
from app.pipeline.verifier import Verdict, choose_threshold
from app.runtime.timing import Timing, current_timing
from app.service.compared_faces import Wanted, new_face
from app.service.gallery_requests import FacesQuery, IdentifyQuery, PersonVerifyQuery
from app.service.gallery_responses import (
    AddedFace,
    CandidatePerson,
    FaceInfo,
    IdentifiedFace,
    IdentifyResponse,
    PersonName,
    PersonVerifyResponse,
    names,
)
from app.service.identified_image import IdentifiedImage
from app.service.operations import Operations
from app.service.requests import DetectQuery
from app.service.responses import Face, rounded
from app.service.upload import Upload

_MOST_CONTESTED = 50
"""Candidates of a face that are kept to give each person to one face of an image only."""


class GalleryOperations:
    """Operations on images and a gallery, within the limits of the service.

    Besides the errors of `Operations`, all of them raise UnknownId for an unknown collection or person,
    OtherEmbedding for a collection of other models, and GalleryUnavailable.

    Args:
        operations: the operations on images.
        gallery: the gallery.

    Attributes:
        analyzer: the loaded models.
        gallery: the gallery.
        limits: limits on images.
    """

    def __init__(self, operations: Operations, gallery: Gallery) -> None:
        self.gallery = gallery
        self._operations = operations
        self.analyzer = operations.analyzer
        self.limits = operations.limits

    def add_face(self, upload: Upload, collection: str, person: str, query: FacesQuery) -> AddedFace:
        """Store the face of an image for a person.

        Args:
            upload: the encoded image; with a box if the face is not the largest one.
            collection: name of the collection.
            person: id of the person.
            query: the parameters of the request.

        Returns:
            The stored face, or the face that it duplicates.

        Raises:
            NoFace: the image or the box contains no face.
            SeveralFaces: it contains several, no box is given, and the request demands one.
            GalleryLimit: there are too many faces.
        """
        timing = current_timing() or Timing()
        usable = self.gallery.usable(collection)
        self.gallery.store.person(collection, person)  # before the image is read
        new = self.read_face(upload, usable, query)
        with timing.stage("store"):
            stored, is_new = self.store_face(usable, person, new)
        timing.finish(1)
        return AddedFace(face=FaceInfo.of(stored), duplicate_of=None if is_new else stored.id)

    def store_face(self, collection: Collection, person: str, face: NewFace) -> tuple[records.Face, bool]:
        """Store a face of a person, unless the person has the same or nearly the same image.

        Args:
            collection: the collection.
            person: id of the person.
            face: the face.

        Returns:
            The stored face, or the face that it duplicates; and whether it was stored.
        """
        spec = self.analyzer.embedder(collection.model).spec
        return self.gallery.add_face(collection, person, face, near_duplicate_threshold(spec))

    def read_face(self, upload: Upload, collection: Collection, query: FacesQuery) -> NewFace:
        """Return the face of an image, without storing it.

        Args:
            upload: the encoded image; with a box if the face is not the largest one.
            collection: the collection, whose vectors can be compared with those of the loaded embedder.
            query: the parameters of the request.

        Raises:
            NoFace: the image or the box contains no face.
            SeveralFaces: it contains several, no box is given, and the request demands one.
        """
        wanted = Wanted(collection.model, "only" if query.faces == "one" else "largest", quality=True)
        face = self._operations.compared_faces(upload, query.detection(), wanted).faces
        return new_face(face, hashlib.sha256(upload.image).digest(), query.expires)

    def identify(self, upload: Upload, collection: str, query: IdentifyQuery) -> IdentifiedImage:
        """Return who the faces of an image are, or that they are nobody of a collection.

        Args:
            upload: the encoded image.
            collection: name of the collection.
            query: the parameters of the request.
        """
        timing = current_timing() or Timing()
        usable = self.gallery.usable(collection)
        threshold, fpir = self.threshold(usable, usable.faces, query)
        compared = self._operations.compared_faces(upload, query.detection(), Wanted(usable.model))
        faces = compared.faces
        assert faces.embeddings is not None
        with timing.stage("search"):
            wanted = max(query.top, min(len(faces), _MOST_CONTESTED))
            found = self.gallery.search(usable, faces.embeddings, wanted)
            identified = self._identified(faces, found, threshold, query.top)
        known = sum(face.person is not None for face in identified)
        self.gallery.telemetry.identified(known, len(identified) - known)
        response = IdentifyResponse(
            image=compared.size,
            faces=identified,
            threshold=threshold,
            fpir=fpir,
            gallery_faces=usable.faces,
            model=usable.model,
            detector=self.analyzer.detector(None).name,
            timing_ms=rounded(timing.finish(len(faces))),
        )
        return IdentifiedImage(response, faces, lambda: compared.picture()[0])

    def threshold(
        self, collection: Collection, faces: int, query: IdentifyQuery
    ) -> tuple[float, float | None]:
        """Return the threshold of an identification, and its FPIR; None if the request gave the threshold.

        Args:
            collection: the collection, whose vectors can be compared with those of the loaded embedder.
            faces: number of faces that a face is compared with.
            query: the parameters of the request.

        Raises:
            BadParameter: both are given, or the embedder is not calibrated for the rate.
        """
        if query.threshold is not None and query.fpir is not None:
            raise BadParameter(
                "The parameters threshold and fpir exclude each other. Give one, not both.", "fpir"
            )
        if query.threshold is not None:
            return query.threshold, None
        fpir = DEFAULT_FPIR if query.fpir is None else query.fpir
        return threshold_for_fpir(self.analyzer.embedder(collection.model).spec, faces, fpir), fpir

    def verify(
        self, upload: Upload, collection: str, person: str, query: PersonVerifyQuery
    ) -> PersonVerifyResponse:
        """Return whether the largest face of an image is a person's.

        Args:
            upload: the encoded image.
            collection: name of the collection.
            person: id of the person.
            query: the parameters of the request.

        Raises:
            NoFace: the image contains no face, or the person has none.
        """
        timing = current_timing() or Timing()
        usable = self.gallery.usable(collection)
        known = self.gallery.store.person(collection, person)
        embedder = self.analyzer.embedder(usable.model)
        threshold = choose_threshold(embedder.spec, query.threshold, query.far)
        detection, wanted = DetectQuery(orientation=query.orientation), Wanted(usable.model, "largest")
        face = self._operations.compared_faces(upload, detection, wanted).faces
        assert face.embeddings is not None
        with timing.stage("search"):
            best = self.gallery.best_face(usable, person, face.embeddings[0])
        if best is None:
            raise NoFace("The person has no face to compare with. Add one first.", "person")
        verdict = Verdict(best[1], verifier.probability(embedder.spec, best[1]), threshold)
        return PersonVerifyResponse(
            verified=verdict.verified,
            similarity=verdict.similarity,
            probability=verdict.probability,
            threshold=threshold.value,
            far=threshold.far,
            metric=embedder.spec.metric,
            model=usable.model,
            detector=self.analyzer.detector(None).name,
            person=PersonName.model_validate(names(known)),
            face_a=Face.all_of(replace(face, embeddings=None))[0],
            face_b=FaceInfo.of(best[0]),
            timing_ms=rounded(timing.finish(1)),
        )

    def _identified(
        self, faces: Faces, found: list[list[Match]], threshold: float, top: int
    ) -> list[IdentifiedFace]:
        """Return the faces with their people, and with the `top` most similar ones."""
        store = self.gallery.store
        people = store.people_by_key({match.person for row in found for match in row})
        found = [[match for match in row if match.person in people] for row in found]
        shown = store.faces_by_key({match.face for row in found for match in row[:top]})
        out = []
        rows = zip(Face.all_of(replace(faces, embeddings=None)), assign(found, threshold), found, strict=True)
        for face, match, row in rows:
            best = match or (row[0] if row else None)
            out.append(
                IdentifiedFace(
                    **face.model_dump(),
                    person=None if match is None else PersonName.model_validate(names(people[match.person])),
                    similarity=None if best is None else best.similarity,
                    candidates=[
                        _candidate(people[other.person], other, shown[other.face].id)
                        for other in row[:top]
                        if other.face in shown
                    ],
                )
            )
        return out


def _candidate(person: Person, match: Match, face: str) -> CandidatePerson:
    return CandidatePerson.model_validate({**names(person), "similarity": match.similarity, "face": face})
