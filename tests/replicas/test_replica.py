"""A replica in this process, without Ray: calls, errors, deadlines, cancellation, and what it refuses."""

import asyncio
import pickle
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.errors import BadModel, BadParameter, CannotStart, DeadlineExceeded, NotAnImage, OutOfMemory
from app.pipeline.faces import Faces
from app.replicas import front
from app.replicas.calls import Answer, Call
from app.replicas.front import remote_operations, replica_plan
from app.replicas.replica import AnalyzerReplica, ReplicaPlan, weights_of
from app.runtime.tracing import OtelTracer
from app.service.compared_faces import Wanted
from app.service.model_info import ModelsResponse, version
from app.service.operations import Operations
from app.service.requests import DetectQuery, VerifyQuery
from app.service.responses import DetectResponse
from app.service.upload import Upload
from app.settings import Settings
from app.wiring import limits_of, load_analyzer
from tests.api.pictures import photo, picture
from tests.collector import collector
from tests.processes import EXAMPLE

SETTINGS = Settings(models="cascade", device="cpu", threads=1)


@pytest.fixture(scope="module")
def plan() -> ReplicaPlan:
    analyzer = load_analyzer(SETTINGS)
    return replica_plan(
        SETTINGS.model_copy(update={"ray_cpus": 1}), weights_of(ModelsResponse.of(analyzer, "all"))
    )


@pytest.fixture(scope="module")
def replica(plan: ReplicaPlan) -> AnalyzerReplica:
    return AnalyzerReplica(plan)


def run(replica: AnalyzerReplica, call: Call) -> Answer:
    """Return the answer to a call, which is pickled as on its way from the front."""
    answer: Answer = pickle.loads(asyncio.run(replica.run(pickle.dumps(call))))
    return answer


def detect(image: bytes = EXAMPLE, **options: Any) -> Call:
    return Call("detect", (Upload(image), DetectQuery()), **options)


def test_the_plan_has_what_matters_to_a_replica() -> None:
    settings = Settings(models="cascade", port=9, ray_cpus=3)
    plan = replica_plan(settings, {"cascade": "0"})
    assert plan.settings == {"models": frozenset({"cascade"}), "device": "cpu", "threads": 3}
    assert (plan.version, plan.threads, plan.weights) == (version(), 6, {"cascade": "0"})
    assert replica_plan(Settings(max_faces=7, ray_cpus=3), {}).settings == {
        "max_faces": 7,
        "device": "cpu",
        "threads": 3,
    }


def test_a_replica_reads_the_same_model_folders() -> None:
    folders = (Path("models").resolve(), Path("/srv/own"))
    plan = pickle.loads(pickle.dumps(replica_plan(Settings(models_dir=folders), {})))
    assert Settings(**plan.settings).models_dir == folders


def test_a_replica_with_a_gpu_never_runs_on_the_cpu() -> None:
    assert replica_plan(Settings(ray_gpus=1, ray_cpus=1), {}).settings == {"device": "cuda"}
    assert replica_plan(Settings(ray_gpus=1, device="tensorrt"), {}).settings == {"device": "tensorrt"}
    assert replica_plan(Settings(ray_gpus=1, ray_cpus=1), {}).threads == 8


def test_a_plan_is_equal_after_it_was_pickled(plan: ReplicaPlan) -> None:
    assert pickle.loads(pickle.dumps(plan)) == plan
    assert replace(plan, threads=plan.threads + 1) != plan


def test_a_call(replica: AnalyzerReplica) -> None:
    answer = run(replica, detect(timeout_s=30))
    assert answer.error is None
    response, faces = answer.value
    assert isinstance(response, DetectResponse)
    assert isinstance(faces, Faces)
    own = Operations(load_analyzer(SETTINGS), limits_of(SETTINGS)).detect(Upload(EXAMPLE), DetectQuery())
    assert response.model_copy(update={"timing_ms": {}}) == own.response.model_copy(update={"timing_ms": {}})
    np.testing.assert_array_equal(faces.boxes, own.faces.boxes)
    assert {"queue", "decode", "pnet", "rnet", "onet", "total"} <= set(answer.ms)


def test_an_error_is_a_value(replica: AnalyzerReplica) -> None:
    answer = run(replica, detect(b"no image"))
    assert isinstance(answer.error, NotAnImage)
    assert (answer.value, answer.error.field) == (None, "image")
    answer = run(replica, Call("detect", (Upload(picture()), DetectQuery(min_face_size=12, max_faces=9999))))
    assert isinstance(answer.error, BadParameter)
    answer = run(replica, Call("verify", ((EXAMPLE, EXAMPLE), VerifyQuery())))
    assert answer.error is not None
    assert answer.error.field == "model"


def test_a_defect_is_no_value(replica: AnalyzerReplica) -> None:
    """An unexpected error is that of the call, so that the front reports it as one."""
    with pytest.raises(AttributeError):
        run(replica, Call("nothing", ()))  # type: ignore[arg-type]


def test_a_passed_deadline_is_a_value(replica: AnalyzerReplica) -> None:
    assert isinstance(run(replica, detect(timeout_s=0.0)).error, DeadlineExceeded)
    assert isinstance(run(replica, detect(timeout_s=-1.0)).error, DeadlineExceeded)
    start = time.monotonic()
    assert isinstance(run(replica, detect(photo("obama.jpg"), timeout_s=0.002)).error, DeadlineExceeded)
    assert time.monotonic() - start < 5


def test_a_cancelled_call_ends_its_job(replica: AnalyzerReplica, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[int] = []

    async def main() -> None:
        task = asyncio.create_task(replica.answer(detect(photo("obama.jpg"))))
        while not decoded:
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    real = Operations.find_faces
    ended: list[str] = []

    def slow(operations: Operations, upload: Upload, query: DetectQuery, *rest: Any) -> Any:
        decoded.append(1)
        time.sleep(0.2)
        try:
            return real(operations, upload, query, *rest)
        except Exception as error:
            ended.append(type(error).__name__)
            raise

    monkeypatch.setattr(Operations, "find_faces", slow)
    asyncio.run(main())
    end = time.monotonic() + 5
    while not ended and time.monotonic() < end:
        time.sleep(0.01)
    assert ended == ["Abandoned"]
    monkeypatch.undo()
    assert run(replica, detect()).error is None  # its place is free again
    assert replica._service.admission.admitted == 0


def test_more_calls_than_threads_wait(replica: AnalyzerReplica) -> None:
    async def main() -> list[Answer]:
        return await asyncio.gather(*(replica.answer(detect(picture())) for _ in range(40)))

    assert all(answer.error is None for answer in asyncio.run(main()))


def test_compared_faces(replica: AnalyzerReplica) -> None:
    answer = run(replica, Call("compared_faces", (Upload(EXAMPLE), DetectQuery(), Wanted("nobody"))))
    assert answer.error is not None  # there is no embedder
    assert "FACE_MODELS" in answer.error.detail


def test_another_version_is_refused(plan: ReplicaPlan) -> None:
    with pytest.raises(BadModel, match=f"version {version()} of Facet, and the front 0.0.1") as caught:
        AnalyzerReplica(replace(plan, version="0.0.1"))
    assert pickle.loads(pickle.dumps(caught.value)).detail == caught.value.detail


def test_other_weights_are_refused(plan: ReplicaPlan) -> None:
    for weights in ({"cascade": "0" * 64}, {}, {**plan.weights, "sface": "0" * 64}):
        with pytest.raises(BadModel, match="other models than the front"):
            AnalyzerReplica(replace(plan, weights=weights))


def test_missing_models_are_named(plan: ReplicaPlan, tmp_path: Path) -> None:
    with pytest.raises(BadModel, match=r"manifest\.json"):
        AnalyzerReplica(replace(plan, settings=plan.settings | {"models_dir": tmp_path}))


def test_health(replica: AnalyzerReplica, plan: ReplicaPlan, monkeypatch: pytest.MonkeyPatch) -> None:
    asyncio.run(replica.check_health())
    assert replica.plan() == plan
    assert weights_of(replica.models()) == plan.weights
    monkeypatch.setattr(replica._service, "_small_request_bytes", 1 << 60)
    with pytest.raises(OutOfMemory):
        asyncio.run(replica.check_health())


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spans are sent at once."""
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")


def test_a_trace_goes_on_in_the_replica(plan: ReplicaPlan, quick: None) -> None:
    with collector() as received:
        there = AnalyzerReplica(replace(plan, settings=plan.settings | {"otlp_endpoint": received.url}))
        here = OtelTracer(received.url, "1")
        with here.request("POST /detect", []), here.span("replica"), ThreadPoolExecutor(1) as other:
            headers = here.trace_headers()
            assert other.submit(run, there, detect(picture(), trace=headers)).result().error is None
        here.close(10)
        assert there._tracer is not None
        there._tracer.close(10)
        (root,) = received.requests("POST /detect")
        tree = received.tree(root)
        (calls,) = tree["replica"].values()
        assert list(tree["replica"]) == ["replica detect"]
        assert {"queue", "decode", "pnet"} <= set(calls)


def test_without_a_trace_there_is_no_span(plan: ReplicaPlan, quick: None) -> None:
    with collector() as received:
        there = AnalyzerReplica(replace(plan, settings=plan.settings | {"otlp_endpoint": received.url}))
        assert run(there, detect(picture())).error is None
        assert there._tracer is not None
        there._tracer.close(10)
        assert received.spans == []


def test_ray_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(front, "find_spec", lambda name: None)
    with pytest.raises(CannotStart, match=r"FACE_RAY_ADDRESS is set, but .* extra ray are not installed"):
        remote_operations(Settings(ray_address="local"))
