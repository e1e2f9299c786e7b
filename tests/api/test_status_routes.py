import hashlib
import re
from pathlib import Path

import httpx
import onnxruntime as ort
import pytest

from app.service.model_info import version


def test_models(client: httpx.Client) -> None:
    models = {model["name"]: model for model in client.get("/models").json()["models"]}
    assert set(models) == {"detector", "points", "other-points", "vectors", "other-vectors"}
    for model in models.values():
        assert {"task", "default", "licence", "research_only", "source", "input"} <= set(model)
        assert model["provider"] == "CPUExecutionProvider"
        assert all(len(file["sha256"]) == 64 and file["bytes"] for file in model["files"])
    assert [name for name, model in models.items() if model["default"]] == ["detector", "points", "vectors"]
    detector, points, vectors = (models[name] for name in ("detector", "points", "vectors"))
    assert detector["task"] == "detect"
    assert len(detector["files"]) == 3
    joined = "".join(file["sha256"] for file in detector["files"])
    assert detector["sha256"] == hashlib.sha256(joined.encode()).hexdigest()
    assert points["sha256"] == points["files"][0]["sha256"]
    assert detector["thresholds"] == [
        {"stage": "pnet", "threshold": 0.6},
        {"stage": "rnet", "threshold": 0.7},
        {"stage": "onet", "threshold": 0.7},
    ]
    assert points["scheme"] == "kaggle15"
    assert (points["input"]["size"], points["input"]["template"]) == (16, "arcface")
    assert (vectors["dimension"], vectors["metric"], vectors["default_far"]) == (3, "cosine", 0.001)
    assert vectors["thresholds"][1] == {"far": 0.001, "threshold": 0.75, "tar": 0.8}


def test_versions(client: httpx.Client) -> None:
    body = client.get("/version").json()
    assert body["onnxruntime"] == ort.__version__
    assert re.fullmatch(r"3\.\d+\.\d+\S*", body["python"])
    project = Path("pyproject.toml").read_text()
    assert f'version = "{body["version"]}"' in project
    assert body["version"] == version()


def test_probes(client: httpx.Client) -> None:
    assert client.get("/livez").json() == {"status": "ok"}
    assert client.get("/readyz").json() == {"status": "ready"}


@pytest.mark.parametrize("address", ["/livez", "/readyz", "/version"])
def test_probes_without_a_body(client: httpx.Client, address: str) -> None:
    response = client.head(address)
    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["content-length"] == client.get(address).headers["content-length"]
