"""The comparison over HTTP: the small service with OpenCV, the requests, the tables, and refused answers."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from fastapi.testclient import TestClient

from benchmarks import http_services, opencv_service, others, peers_http
from benchmarks.clients import Outcome
from benchmarks.http_services import Contender, NoAnswer, first_answer, form
from benchmarks.peers_http import Round, load_rows, size_rows, summary
from benchmarks.pictures import Ask
from benchmarks.served import memory_mb

JPEG = cv2.imencode(".jpg", np.full((60, 80, 3), 90, np.uint8))[1].tobytes()


class Detector:
    """Finds two faces, the second of which is larger."""

    size = (0, 0)

    def setInputSize(self, size: tuple[int, int]) -> None:  # OpenCV's name
        self.size = size

    def detect(self, image: np.ndarray) -> tuple[int, np.ndarray | None]:
        assert self.size == (image.shape[1], image.shape[0])
        rows = np.zeros((2, 15), np.float32)
        rows[:, 2:4], rows[:, 14] = [[5, 5], [20, 30]], [0.9, 0.95]
        return 1, rows if image.mean() > 20 else None


class Recogniser:
    """Returns the same vector for all faces."""

    def alignCrop(self, image: np.ndarray, row: np.ndarray) -> np.ndarray:  # OpenCV's name
        assert row[2] == 20  # the larger face
        return image

    def feature(self, crop: np.ndarray) -> np.ndarray:
        return np.ones((1, 128), np.float32)


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setenv("YUNET", "yunet.onnx")
    monkeypatch.setenv("SFACE", "sface.onnx")
    monkeypatch.setattr(cv2.FaceDetectorYN, "create", lambda *_: Detector())
    monkeypatch.setattr(cv2.FaceRecognizerSF, "create", lambda *_: Recogniser())
    with TestClient(opencv_service.app) as client:
        yield client


def send(client: TestClient, ask: Ask) -> Any:
    return client.post(ask.path, content=ask.images[0], headers={"content-type": ask.content_type})


def test_the_plain_service_detects(plain: TestClient) -> None:
    answer = send(plain, form("/detect", {"image": JPEG}))
    assert answer.status_code == 200
    assert [face["box"] for face in answer.json()] == [[0, 0, 5, 5], [0, 0, 20, 30]]
    assert len(answer.json()[0]["points"]) == 5
    assert send(plain, form("/detect", {"image": b"no image"})).status_code == 422


def test_the_plain_service_verifies_the_largest_faces(plain: TestClient) -> None:
    answer = send(plain, form("/verify", {"image_a": JPEG, "image_b": JPEG}))
    assert answer.json() == {"verified": True, "similarity": pytest.approx(1)}


def test_the_plain_service_says_that_there_is_no_face(plain: TestClient) -> None:
    black = cv2.imencode(".jpg", np.zeros((60, 80, 3), np.uint8))[1].tobytes()
    assert send(plain, form("/detect", {"image": black})).json() == []
    assert send(plain, form("/verify", {"image_a": JPEG, "image_b": black})).status_code == 422
    assert (
        send(plain, form("/verify", {"image_a": JPEG, "image_b": JPEG})).status_code == 200
    )  # nets are back


def test_a_form_has_the_files_and_the_fields() -> None:
    ask = form("/verify", {"img1": JPEG, "img2": b"two"}, {"model_name": "SFace"})
    message = BytesParser().parsebytes(f"Content-Type: {ask.content_type}\r\n\r\n".encode() + ask.images[0])
    parts = {
        part.get_param("name", header="content-disposition"): part.get_payload(decode=True)
        for part in message.walk()
        if not part.is_multipart()
    }
    assert parts == {"img1": JPEG, "img2": b"two", "model_name": b"SFace"}


def test_a_service_without_detection_is_only_asked_to_verify() -> None:
    both = Contender("a", (), {}).asks()
    assert [len(asks) for asks in both.values()] == [5, 1]
    assert list(Contender("b", (), {}, detects=False).asks()) == ["verify"]


@pytest.fixture
def weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(others, "opencv_file", lambda net: str(tmp_path / Path(net[0]).name))
    return tmp_path


def test_deepface_gets_its_weights_in_its_home(weights: Path) -> None:
    programs = weights / "bin"
    programs.mkdir()
    (programs / "gunicorn").touch()
    services = http_services.contenders(programs, weights / "home")
    names = [service.name for service in services]
    assert names[0] == "Facet"
    assert names[3] == "deepface, 1 worker"
    assert len({*names}) == len(names)
    links = sorted(path.name for path in (weights / "home/.deepface/weights").iterdir())
    assert links == ["face_detection_yunet_2023mar.onnx", "face_recognition_sface_2021dec.onnx"]
    assert services[3].variables["DEEPFACE_HOME"] == str(weights / "home")


def test_deepface_is_left_out_or_refused(weights: Path) -> None:
    assert len(http_services.contenders(None, weights / "home")) == 3
    with pytest.raises(NoAnswer, match="does not have gunicorn"):
        http_services.contenders(weights, weights / "home")


class Answers(BaseHTTPRequestHandler):
    """Answers 503 first, then that the faces are of one person, or not."""

    verified, asked = True, 0

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        type(self).asked += 1
        body = json.dumps({"verified": self.verified}).encode()
        self.send_response(503 if self.asked == 1 else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def process() -> Iterator["subprocess.Popen[bytes]"]:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as running:
        yield running
        running.kill()


@pytest.mark.parametrize("verified", [True, False])
def test_the_first_answer_must_be_right(verified: bool, process: "subprocess.Popen[bytes]") -> None:
    handler = type("Handler", (Answers,), {"verified": verified})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    try:
        if verified:
            first_answer(url, form("/verify", {"a": JPEG}), process, 20)
            assert handler.asked == 2  # type: ignore[attr-defined]  # of Answers
        else:
            with pytest.raises(NoAnswer, match="does not verify the pair of photos"):
                first_answer(url, form("/verify", {"a": JPEG}), process, 20)
    finally:
        server.shutdown()
        server.server_close()


def test_a_service_that_ended_does_not_answer(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    process.wait()
    with pytest.raises(NoAnswer, match="It answered: nothing"):
        first_answer("http://127.0.0.1:9", form("/verify", {"a": JPEG}), process, 60)


def round_of(rate: float, memory: float, tasks: tuple[str, ...] = ("detect", "verify")) -> Round:
    outcome = Outcome(seconds=1.0)
    for _ in range(int(rate)):
        outcome.add(0, 1 / rate, 200)
    return Round(memory / 100, memory, {(task, 4): outcome for task in tasks})


def test_ratios_compare_the_runs_of_a_round() -> None:
    """The machine is slower in the second round, for both services."""
    rounds = {
        "Facet": [round_of(40, 100), round_of(10, 300), round_of(20, 200)],
        "other": [round_of(20, 50), round_of(5, 60), round_of(10, 70)],
        "verifies only": [round_of(8, 10, ("verify",))] * 3,
    }
    first, second = load_rows(rounds, "detect", [4])
    assert first[:4] == [4, "Facet", "20.0", "1.00"]
    assert second[:4] == [4, "other", "10.0", "0.50"]
    assert second[4] == pytest.approx(50)  # the median of all requests
    assert second[5] == pytest.approx(200)
    assert [row[1] for row in load_rows(rounds, "verify", [4])] == list(rounds)
    assert size_rows(rounds) == [["Facet", 200, "2.0"], ["other", 60, "0.6"], ["verifies only", 10, "0.1"]]


def test_the_short_table_has_a_row_per_service() -> None:
    rounds = {"Facet": [round_of(40, 100.4)], "deepface": [round_of(20, 50, ("verify",))]}
    head, _, facet, other = summary(
        {task: load_rows(rounds, task, [4]) for task in ("detect", "verify")}, size_rows(rounds)
    ).splitlines()
    assert head == (
        "| service | `detect`, 4 clients, p50 | `detect`, 4 clients | `verify`, 4 clients, p50 "
        "| `verify`, 4 clients | memory | start |"
    )
    assert facet == "| Facet | 25 ms | 40.0 requests/s | 25 ms | 40.0 requests/s | 100 MiB | 1.0 s |"
    assert other == "| deepface | none | none | 50 ms | 20.0 requests/s | 50 MiB | 0.5 s |"


def test_readme_has_the_place_of_the_short_table() -> None:
    assert f"<!-- {peers_http.MARK} -->" in peers_http.README.read_text()


def test_refused_requests_end_the_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refused(*_: object, **__: object) -> Outcome:
        outcome = Outcome()
        outcome.wrong["/verify: 400 instead of 200"] += 3
        return outcome

    class Started:
        def __enter__(self) -> tuple[str, int, float]:
            return "http://127.0.0.1:9", 1, 0.0

        def __exit__(self, *_: object) -> None:
            pass

    monkeypatch.setattr(peers_http, "closed", refused)
    monkeypatch.setattr(peers_http, "started", lambda *_: Started())
    with pytest.raises(
        NoAnswer, match=r"a did not answer all requests: /verify: 400 instead of 200 \(3 times\)"
    ):
        peers_http.measure(Contender("a", (), {}), [1], 0.1)


def test_memory_of_a_process_tree() -> None:
    """The command has a child that has a child."""
    inner = f"{sys.executable} -c 'bytearray(80 << 20); print(1, flush=True); input()'"
    command = ["sh", "-c", f'sh -c "{inner}; true"; true']
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        running.stdout.readline()
        assert memory_mb(running.pid, "VmHWM") > 80
        running.communicate(b"\n")
