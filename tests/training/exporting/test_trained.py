"""Products of training runs: which runs make one, their specs, and their nets as they are served."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.vision.spec import (
    Calibration,
    EmbedderSpec,
    HeadSpec,
    LandmarkSpec,
    ONetSpec,
    PNetSpec,
    RNetSpec,
    SimilarityCalibration,
)
from tests.training.finished_runs import SHA256, write_finished_run, write_run_file
from training.config.registry import BEST_WEIGHTS, RunError, find
from training.exporting.attribution import attribution_of
from training.exporting.manifest import weights_of
from training.exporting.recipes import Product
from training.exporting.trained import product_of, stage_spec

CALIBRATION = SimilarityCalibration(
    calibrated_on="something",
    thresholds=(Calibration(far=0.01, threshold=0.3, tar=0.9),),
    default_far=0.01,
)


def product(runs: list[Path], calibration: SimilarityCalibration | None = None) -> Product:
    return product_of(runs, attribution_of(runs, "mine"), calibration)


def run_without_weights(folder: Path, name: str, sources: list[str]) -> Path:
    """Write a run whose weights are not read."""
    (write_run_file(folder, find(name).CONFIG, sources) / BEST_WEIGHTS).touch()
    return folder


def specs(product: Product) -> list[Any]:
    return [recipe.spec for recipe in product.recipes]


def test_a_landmark_run_is_one_file(tmp_path: Path) -> None:
    run = run_without_weights(tmp_path, "cnn68", ["300w"])
    made = product([run])
    assert (made.name, made.task, made.default) == ("mine", "landmarks", False)
    assert [recipe.file for recipe in made.recipes] == ["mine.onnx"]
    (spec,) = specs(made)
    assert isinstance(spec, LandmarkSpec)
    config = find("cnn68").CONFIG
    assert (spec.model, spec.size, spec.scheme, spec.template) == ("mine", config.size, "ibug68", "face")
    assert spec.research_only
    assert spec.source == (
        "trained here on 300-W (HELEN, AFW, LFPW training parts): training/configs/cnn68.py"
    )
    assert spec.source_sha256 == SHA256


def test_the_source_names_all_datasets_and_the_run_that_it_starts_from(tmp_path: Path) -> None:
    run = run_without_weights(tmp_path, "landmarks68_unet", ["300w", "kaggle15"])
    (spec,) = specs(product([run]))
    assert " and Kaggle's Facial Keypoints format" in spec.source
    assert ", from the weights of landmarks68_strong: training/configs/landmarks68_unet.py" in spec.source


def test_an_embedding_run_is_one_file_with_its_calibration(tmp_path: Path) -> None:
    run = run_without_weights(tmp_path, "triplet", ["folders:celeba"])
    (plain,) = specs(product([run]))
    assert isinstance(plain, EmbedderSpec)
    assert (plain.metric, plain.flip_average, plain.thresholds) == ("cosine", True, ())
    assert plain.source == (
        "trained here on faces of CelebA, from the weights of distilled: training/configs/triplet.py"
    )
    calibrated = product([run], CALIBRATION)
    assert (calibrated.name, calibrated.task) == ("mine", "embed")
    (spec,) = specs(calibrated)
    assert spec.thresholds == CALIBRATION.thresholds
    assert spec.default_far == 0.01


def test_a_siamese_run_is_a_branch_and_a_head(tmp_path: Path) -> None:
    run = run_without_weights(tmp_path, "siamese", ["x"])
    made = product([run], CALIBRATION)
    assert [recipe.file for recipe in made.recipes] == ["mine.onnx", "mine-head.onnx"]
    branch, head = specs(made)
    assert isinstance(branch, EmbedderSpec)
    assert isinstance(head, HeadSpec)
    assert (branch.metric, branch.flip_average) == ("probability", False)
    assert branch.dimension == head.dimension == find("siamese").CONFIG.model_dump()["dimension"]


CASCADE = ("cascade_pnet", "cascade_rnet", "cascade_onet")


def cascade_runs(folder: Path, *names: str) -> list[Path]:
    return [run_without_weights(folder / name, name, ["wider", "mtfl5"]) for name in names]


def test_three_runs_of_the_cascade_in_any_order_are_a_detector(tmp_path: Path) -> None:
    made = product(cascade_runs(tmp_path, *reversed(CASCADE)))
    assert (made.name, made.task) == ("mine", "detect")
    assert [recipe.file for recipe in made.recipes] == [f"mine-{s}.onnx" for s in ("pnet", "rnet", "onet")]
    assert [type(spec) for spec in specs(made)] == [PNetSpec, RNetSpec, ONetSpec]
    assert [spec.source.partition(":")[0] for spec in specs(made)] == [
        "trained here on WIDER FACE and MTFL",
        "trained here on WIDER FACE and MTFL, from published weights",
        "trained here on WIDER FACE and MTFL, from published weights",
    ]


def test_a_product_has_the_hash_of_its_weights(tmp_path: Path) -> None:
    paths = cascade_runs(tmp_path, *CASCADE)
    for i, path in enumerate(paths):
        (path / BEST_WEIGHTS).write_bytes(bytes([i]))
    before = product(paths).weights
    assert before == product(paths[::-1]).weights
    (paths[1] / BEST_WEIGHTS).write_bytes(b"other")
    assert product(paths).weights != before


def test_the_manifest_has_the_weights_of_the_records() -> None:
    runs = [Path(f"training/records/mtcnn_here_{stage}") for stage in ("pnet", "rnet", "onet")]
    assert product(runs).weights == weights_of(Path("models"), "mtcnn_here")


@pytest.mark.parametrize(
    "names",
    [
        CASCADE[:1],
        CASCADE[:2],
        ("cascade_pnet", "cascade_rnet", "cascade_rnet_scratch"),
        (*CASCADE, "cascade_onet_scratch"),
        ("cascade_pnet", "cascade_rnet", "cnn68"),
        ("cnn68", "cnn15"),
    ],
)
def test_runs_that_make_no_product_are_an_error(names: tuple[str, ...], tmp_path: Path) -> None:
    with pytest.raises(RunError, match="one run each of P-, R- and O-Net"):
        product(cascade_runs(tmp_path, *names))


def test_a_folder_without_a_run_or_without_weights_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none/run\.json"):
        product([tmp_path / "none"])
    run = write_run_file(tmp_path / "run", find("cnn68").CONFIG, ["300w"])
    with pytest.raises(FileNotFoundError, match=r"best\.weights\.h5"):
        product([run])


MTCNN_HERE = ("mtcnn_here_pnet", "mtcnn_here_rnet", "mtcnn_here_onet")


@pytest.mark.parametrize("name", [*CASCADE, "cascade_rnet_scratch", "cascade_onet_scratch", *MTCNN_HERE])
def test_every_run_of_a_stage_has_a_spec(name: str, tmp_path: Path) -> None:
    config = find(name).CONFIG
    run = write_run_file(tmp_path, config, ["wider"])
    spec = stage_spec(run, attribution_of([run], "mine"))
    assert spec.kind == config.model_dump()["stage"]
    assert spec.research_only
    assert spec.source_sha256 == SHA256


@pytest.mark.parametrize(("name", "output"), [("cnn15", "points"), ("siamese", "branch")])
def test_a_files_net_has_the_best_weights_of_the_run(name: str, output: str, tmp_path: Path) -> None:
    net = write_finished_run(tmp_path, name, ["300w"])
    recipe, *head = product([tmp_path]).recipes
    images = np.random.default_rng(0).uniform(0, 255, (2, *net.input_shape[1:])).astype(np.float32)
    vectors = np.asarray(net(images, training=False))
    np.testing.assert_allclose(recipe.net(tmp_path)(images)[output], vectors, rtol=1e-5, atol=1e-6)
    if head:
        pairs = np.stack([vectors, vectors[::-1]], axis=1)
        probability = np.asarray(head[0].net(tmp_path)(pairs)["probability"])
        assert ((probability > 0) & (probability < 1)).all()


def test_no_file_is_written_if_one_of_them_cannot_be(tmp_path: Path) -> None:
    write_finished_run(tmp_path / "cascade_pnet", "cascade_pnet", ["wider"])
    for name in ("cascade_rnet", "cascade_onet"):
        run_without_weights(tmp_path / name, name, ["wider"])
    made = product([tmp_path / name for name in CASCADE])
    with pytest.raises(RunError, match=r"best\.weights\.h5 is damaged"):
        made.write(tmp_path / "models", tmp_path)
    assert not (tmp_path / "models").exists()
