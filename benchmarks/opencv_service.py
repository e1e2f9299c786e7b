"""A small face service: FastAPI, OpenCV's YuNet and SFace. Facet is measured against it.

    YUNET=yunet.onnx SFACE=sface.onnx .venv/bin/uvicorn benchmarks.opencv_service:app

It has the least that such a service needs. The routes are plain functions, so FastAPI runs them in its thread
pool. Two threads may not use a net of OpenCV at the same time, so there is a pair of nets per core.
"""

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from queue import SimpleQueue
from typing import Any

import cv2
import numpy as np
from fastapi import FastAPI, HTTPException, UploadFile
from numpy import ndarray

SAME_PERSON = 0.363
"""The cosine similarity from which OpenCV's documentation of SFace takes two faces for one person."""


class Nets:
    """A face detector and a face recogniser."""

    def __init__(self) -> None:
        self._detector = cv2.FaceDetectorYN.create(os.environ["YUNET"], "", (320, 320))
        self._recogniser = cv2.FaceRecognizerSF.create(os.environ["SFACE"], "")

    def detect(self, image: ndarray) -> ndarray:
        """Return a row per face: box (x, y, w, h), five points (x, y), and score."""
        self._detector.setInputSize((image.shape[1], image.shape[0]))
        faces = self._detector.detect(image)[1]
        return np.empty((0, 15), np.float32) if faces is None else faces

    def embed_largest(self, image: ndarray) -> ndarray:
        """Return the vector of the largest face.

        Raises:
            HTTPException: there is no face.
        """
        faces = self.detect(image)
        if not len(faces):
            raise HTTPException(422, "There is no face in the image.")
        largest = faces[np.argmax(faces[:, 2] * faces[:, 3])]
        return self._recogniser.feature(self._recogniser.alignCrop(image, largest)).copy()


pool: SimpleQueue[Nets] = SimpleQueue()


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Load the nets before the first request."""
    for _ in range(len(os.sched_getaffinity(0))):
        pool.put(Nets())
    yield


app = FastAPI(lifespan=lifespan)


@contextmanager
def nets() -> Iterator[Nets]:
    """Borrow a pair of nets.

    Yields:
        The nets, which no other thread uses.
    """
    borrowed = pool.get()
    try:
        yield borrowed
    finally:
        pool.put(borrowed)


def read(upload: UploadFile) -> ndarray:
    """Return the image of a part, BGR.

    Raises:
        HTTPException: the bytes are not an image.
    """
    image = cv2.imdecode(np.frombuffer(upload.file.read(), np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise HTTPException(422, "The bytes are not an image.")
    return image


@app.post("/detect")
def detect(image: UploadFile) -> list[dict[str, Any]]:
    """Return the box, the score and the five points of each face."""
    pixels = read(image)
    with nets() as borrowed:
        faces = borrowed.detect(pixels)
    return [
        {"box": face[:4].tolist(), "points": face[4:14].reshape(5, 2).tolist(), "score": float(face[14])}
        for face in faces
    ]


@app.post("/verify")
def verify(image_a: UploadFile, image_b: UploadFile) -> dict[str, Any]:
    """Return whether the largest faces of two images belong to the same person."""
    a, b = read(image_a), read(image_b)
    with nets() as borrowed:
        x, y = borrowed.embed_largest(a).ravel(), borrowed.embed_largest(b).ravel()
    similarity = float(x @ y / (np.linalg.norm(x) * np.linalg.norm(y)))
    return {"verified": similarity >= SAME_PERSON, "similarity": similarity}
