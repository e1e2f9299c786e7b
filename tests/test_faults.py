"""What breaks around a running service leaves it alone; what broke before it starts stops the start."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from app.errors import BadModel
from app.pipeline.analyzer import Analyzer
from app.pipeline.detector import DetectOptions
from app.pipeline.faces import Faces
from app.runtime.timing import Timing
from app.settings import Settings
from app.vision.image import decode
from app.vision.pyramid import Image, ImagePyramid
from app.wiring import load_analyzer
from tests.api.pictures import photo

NAMES = frozenset({"mtcnn", "cnn68", "dlib"})


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store with a detector, a landmark model and an embedder, to be spoilt."""
    nets = ["cnn68", "mesh68", "dlib", "dlib-int8", *(f"mtcnn-{stage}net" for stage in "pro")]
    for name in ("manifest.json", *(f"{net}.onnx" for net in nets)):
        shutil.copy(Path("models") / name, tmp_path)
    return tmp_path


def embed(analyzer: Analyzer, image: Image) -> Faces:
    picture, timing = ImagePyramid(image), Timing()
    faces = analyzer.detector(None).detect(picture, DetectOptions(), timing)
    return analyzer.embed(picture, faces, analyzer.embedder(None), timing)


def spoil(folder: Path) -> None:
    """Writes over every file in its place, cuts it off, and takes it away."""
    for path in folder.iterdir():
        size = path.stat().st_size
        with path.open("r+b") as file:
            file.write(b"\xff" * size)
            file.truncate(size // 2)
        path.unlink()


def test_files_that_change_under_a_running_service_change_nothing(store: Path) -> None:
    settings = Settings(models_dir=store, models=NAMES, device="cpu")
    analyzer, image = load_analyzer(settings), decode(photo("obama.jpg"), 10**7, "image")
    before = embed(analyzer, image)
    spoil(store)
    after = embed(analyzer, image)
    assert len(before) > 0
    assert before.embeddings is not None
    assert after.embeddings is not None
    np.testing.assert_allclose(after.embeddings, before.embeddings, atol=1e-5)
    with pytest.raises(BadModel, match=r"manifest\.json cannot be read"):
        load_analyzer(settings)


@pytest.mark.parametrize("size", [0, 1000, 36_740])
def test_a_file_that_was_cut_off_stops_the_start(store: Path, size: int) -> None:
    path = store / "mtcnn-pnet.onnx"
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(BadModel, match=r"mtcnn-pnet\.onnx has sha256"):
        load_analyzer(Settings(models_dir=store, models=NAMES, device="cpu"))


def test_files_that_were_swapped_stop_the_start(store: Path) -> None:
    one, other = store / "cnn68.onnx", store / "dlib.onnx"
    one.rename(store / "kept")
    other.rename(one)
    (store / "kept").rename(other)
    with pytest.raises(BadModel, match="has sha256"):
        load_analyzer(Settings(models_dir=store, models=NAMES, device="cpu"))
