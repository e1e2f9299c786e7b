"""Vectors and similarities of one net, of a branch with its head, and of several embedders made one."""

import numpy as np
import pytest
from numpy import ndarray

from app.errors import BadModel, UnknownModel
from app.pipeline import embedder as e
from app.pipeline.analyzer import Analyzer
from app.pipeline.verifier import DecisionThreshold
from app.pipeline.warmup import warm_up
from app.runtime.manifest import ModelEntry
from app.runtime.model_store import LoadedModel
from app.runtime.timing import Timing
from app.vision.pyramid import ImagePyramid
from app.vision.spec import EmbedderSpec, FusionSpec, HeadSpec
from tests.fakes import COMMON, FIVE_IN_BOX, FakeDetector, FakeSession, cascade, embedder, landmarker, loaded

FIVES = np.stack([FIVE_IN_BOX * 40 + 10, FIVE_IN_BOX * 30 + 20]).astype(np.float32)


def points_of(crop: ndarray, mirrored: ndarray | None = None) -> e.FacePoints:
    """Points that align both crops alike, unless those of the mirrored crop are given."""
    return e.FacePoints(crop, crop if mirrored is None else mirrored)


POINTS = points_of(FIVES)
ONE = points_of(FIVES[:1])


def picture() -> ImagePyramid:
    """Left half red, right half blue."""
    image = np.zeros((64, 64, 3), np.uint8)
    image[:, :32, 0], image[:, 32:, 2] = 200, 100
    return ImagePyramid(image)


def branch(images: ndarray) -> dict[str, ndarray]:
    """The mean red of the left half, and of the right half, 0 to 1."""
    halves = [images[:, :, part, 0].mean(axis=(1, 2)) / 255 for part in (slice(0, 8), slice(8, 16))]
    raw = np.stack(halves, axis=1).astype(np.float32) + np.float32(0.01)
    return {"branch": raw, "embedding": raw / np.linalg.norm(raw, axis=1, keepdims=True)}


def spec(**more: object) -> EmbedderSpec:
    return EmbedderSpec.model_validate(
        {"model": "pair", "size": 16, "template": "arcface", "dimension": 2, "flip_average": False}
        | COMMON
        | more
    )


def pair() -> e.SiameseEmbedder:
    """A branch, and a head that takes 1 less the sum of the differences for the probability."""
    head = HeadSpec(model="pair", dimension=2, **COMMON)

    def judge(pairs: ndarray) -> dict[str, ndarray]:
        assert pairs.shape[1:] == (2, 2)
        return {"probability": 1 - np.abs(pairs[:, 0] - pairs[:, 1]).sum(axis=1, keepdims=True)}

    return e.SiameseEmbedder(VectorSession(spec(metric="probability"), branch), VectorSession(head, judge))


class VectorSession(FakeSession):
    """A fake net that may take vectors too."""

    def run(self, images: ndarray) -> dict[str, ndarray]:
        self.seen.append(len(images))
        return dict(self.answer(images))


def fusion(*parts: str) -> LoadedModel:
    """The parts' vectors, the second part's counted twice."""
    flips = tuple(False for _ in parts)
    how = FusionSpec(model="both", parts=parts, flip_average=flips, inputs=6, dimension=6, **COMMON)

    def weigh(vectors: ndarray) -> dict[str, ndarray]:
        scaled = vectors * np.array([1, 1, 1, 2, 2, 2], np.float32)
        return {"embedding": scaled / np.maximum(np.linalg.norm(scaled, axis=1, keepdims=True), 1e-10)}

    entry = ModelEntry(name="both", task="embed", default=False, parts=parts, files=())
    return LoadedModel(entry, {"fusion": VectorSession(how, weigh)})


def test_the_mirrored_crop_is_added_before_normalising() -> None:
    plain = e.CosineEmbedder(FakeSession(spec(), branch))(picture(), ONE)[0]
    mirrored = e.CosineEmbedder(FakeSession(spec(flip_average=True), branch))(picture(), ONE)[0]
    assert plain[0] > 2 * plain[1]
    assert mirrored == pytest.approx([0.5**0.5, 0.5**0.5], abs=1e-3)


def test_the_mirrored_crop_has_its_own_alignment() -> None:
    net = e.CosineEmbedder(FakeSession(spec(flip_average=True), branch))
    left = FIVES[:1] * 0.2  # all of it red, both halves alike
    assert net.vectors(picture(), points_of(FIVES[:1], left), True).units[1, 0] == pytest.approx(
        [0.5**0.5, 0.5**0.5], abs=0.05
    )
    assert (
        net.vectors(picture(), ONE, True).units[1, 0][1]
        > 2 * net.vectors(picture(), ONE, True).units[1, 0][0]
    )


def test_a_fusion_gives_the_lengths_of_its_first_parts_vectors() -> None:
    def with_norm(images: ndarray) -> dict[str, ndarray]:
        out = branch(images)
        return {"embedding": out["embedding"], "norm": np.linalg.norm(out["branch"], axis=1, keepdims=True)}

    how = FusionSpec(
        model="both", parts=("a", "b"), flip_average=(True, False), inputs=4, dimension=4, **COMMON
    )
    sessions = [FakeSession(spec(), with_norm), FakeSession(spec(), branch)]
    net = e.FusedEmbedder(
        [e.CosineEmbedder(session) for session in sessions],
        VectorSession(how, lambda vectors: {"embedding": vectors}),
    )
    vectors, norms = net.embed_and_measure(picture(), POINTS)
    assert vectors == pytest.approx(net(picture(), POINTS))
    crops = e.AlignedCrops(sessions[0])(picture(), FIVES)
    mirrored = np.ascontiguousarray(crops[:, :, ::-1])
    assert norms == pytest.approx((with_norm(crops)["norm"] + with_norm(mirrored)["norm"])[:, 0] / 2)


def test_a_fusion_without_lengths_cannot_measure() -> None:
    how = FusionSpec(
        model="both", parts=("a", "b"), flip_average=(True, True), inputs=4, dimension=4, **COMMON
    )
    net = e.FusedEmbedder(
        [e.CosineEmbedder(FakeSession(spec(), branch)) for _ in range(2)],
        VectorSession(how, lambda vectors: {"embedding": vectors}),
    )
    with pytest.raises(BadModel, match="cannot measure quality"):
        net.embed_and_measure(picture(), ONE)


def test_a_branch_gives_unit_vectors_and_its_head_what_it_was_trained_on() -> None:
    net = pair()
    vectors, answers = net(picture(), POINTS), net.represent(picture(), POINTS)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1)
    assert not np.allclose(np.linalg.norm(answers, axis=1), 1, atol=0.1)
    found = net.compare(answers, answers[::-1])
    assert found == pytest.approx(1 - np.abs(answers[0] - answers[1]).sum())
    assert net.compare(answers, answers) == pytest.approx(1)


def test_a_head_of_another_width_is_refused() -> None:
    head = FakeSession(HeadSpec(model="pair", dimension=3, **COMMON), branch)
    with pytest.raises(BadModel, match="does not fit its branch"):
        e.SiameseEmbedder(FakeSession(spec(), branch), head)


def test_a_fusion_joins_its_parts_in_order() -> None:
    analyzer = Analyzer(
        [cascade(), landmarker(), fusion("one", "two"), embedder("one"), embedder("two", default=False)]
    )
    part, whole = analyzer.embedder("one")(picture(), POINTS), analyzer.embedder("both")(picture(), POINTS)
    assert whole == pytest.approx(np.concatenate([part, 2 * part], axis=1) / 5**0.5)
    assert analyzer.embedder("both").compare(whole, whole[::-1]) == pytest.approx(
        (part * part[::-1]).sum(axis=1)
    )
    assert analyzer.defaults["embed"] == "one"
    assert len(analyzer.embedder("both")(picture(), points_of(FIVES[:0]))) == 0


def test_a_fusion_without_its_parts_is_refused() -> None:
    with pytest.raises(BadModel, match="both needs two, which is not a loaded embedder"):
        Analyzer([cascade(), landmarker(), fusion("one", "two"), embedder("one")])


def test_a_fusion_of_other_widths_is_refused() -> None:
    with pytest.raises(BadModel, match="takes 6 numbers; its parts give 9"):
        Analyzer([cascade(), landmarker(), fusion("one", "one", "one"), embedder("one")])


def test_warm_up_runs_heads_and_fusions_on_what_they_take() -> None:
    branch_session = VectorSession(spec(model="pair", metric="probability"), branch)
    head = VectorSession(
        HeadSpec(model="pair", dimension=2, **COMMON), lambda pairs: {"probability": pairs[:, 0, :1]}
    )
    two = loaded("pair", branch_session, head, default=False)
    joined = fusion("one", "two")
    analyzer = Analyzer(
        [cascade(), landmarker(), embedder("one"), embedder("two", default=False), joined, two]
    )
    analyzer.detectors.clear()
    warm_up(analyzer)
    assert branch_session.seen == head.seen == [1]
    assert isinstance(analyzer.embedder("pair"), e.SiameseEmbedder)


def test_verify_of_a_pair_of_nets_answers_its_probability() -> None:
    head = VectorSession(
        HeadSpec(model="pair", dimension=2, **COMMON),
        lambda pairs: {"probability": 1 - np.abs(pairs[:, 0] - pairs[:, 1]).sum(axis=1, keepdims=True)},
    )
    two = loaded("pair", VectorSession(spec(metric="probability"), branch), head)
    analyzer = Analyzer([cascade(), landmarker(), two])
    with pytest.raises(UnknownModel):
        analyzer.embedder("nobody")
    analyzer.detectors = {n: FakeDetector(d.spec) for n, d in analyzer.detectors.items()}
    image = picture()[0]
    found = analyzer.verify((image, image), analyzer.embedder(None), DecisionThreshold(0.5, None), Timing())
    assert found.verdict.similarity == found.verdict.probability == pytest.approx(1)
    assert found.verdict.verified


def test_a_fusion_decides_itself_which_parts_are_mirrored() -> None:
    how = FusionSpec(
        model="both", parts=("a", "b"), flip_average=(True, False), inputs=4, dimension=4, **COMMON
    )
    sessions = [FakeSession(spec(flip_average=flip), branch) for flip in (False, True)]
    parts = [e.CosineEmbedder(session) for session in sessions]
    net = e.FusedEmbedder(parts, VectorSession(how, lambda vectors: {"embedding": vectors}))
    found = net(picture(), ONE)[0]
    assert [session.seen for session in sessions] == [[2], [1]]
    assert found[:2] == pytest.approx([0.5**0.5, 0.5**0.5], abs=1e-3)
    assert found[2] > 2 * found[3]


def test_a_fusion_of_a_pair_of_nets_is_refused() -> None:
    how = FusionSpec(
        model="both", parts=("a", "b"), flip_average=(False, False), inputs=4, dimension=4, **COMMON
    )
    parts: list[e.Embedder] = [e.CosineEmbedder(FakeSession(spec(), branch)), pair()]
    with pytest.raises(BadModel, match="compared by their cosine"):
        e.FusedEmbedder(parts, VectorSession(how, lambda vectors: {"embedding": vectors}))


def test_a_face_is_exactly_as_similar_to_itself_as_can_be() -> None:
    random = np.random.default_rng(5)
    vectors = random.normal(size=(2000, 128)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    assert ((vectors * vectors).sum(axis=1) < 1).any()  # what a plain product gives
    assert (e.cosine(vectors, vectors) == 1).all()
    assert (e.cosine(vectors, -vectors) == -1).all()
    assert e.cosine(vectors, vectors[::-1]) == pytest.approx((vectors * vectors[::-1]).sum(axis=1), abs=1e-6)
    assert e.cosine(vectors[:0], vectors[:0]).shape == (0,)
    assert e.cosine(0 * vectors[:1], vectors[:1]).tolist() == [0]
