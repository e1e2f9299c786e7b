"""The study of the time of a training step."""

import numpy as np
import pytest
from numpy import ndarray

from training.config import registry
from training.studies.step_times import step_ms, table


@pytest.mark.parametrize("xla", [False, True])
def test_a_step_trains_the_net_on_a_batch(monkeypatch: pytest.MonkeyPatch, xla: bool) -> None:
    run = registry.find("mtcnn_here_onet")
    net = run.build()
    monkeypatch.setattr(run, "build", lambda: net)
    seen: list[tuple[int, ...]] = []
    train = net.train_on_batch

    def watched(images: ndarray, labels: ndarray) -> None:
        seen.append(images.shape)
        train(images, labels)

    monkeypatch.setattr(net, "train_on_batch", watched)
    before = [np.array(weights) for weights in net.get_weights()]
    assert step_ms(run, xla, 1e-6) > 0
    assert seen == [(run.CONFIG.batch, *net.input_shape[1:])] * 2
    assert net.jit_compile is xla
    assert any((old != new).any() for old, new in zip(before, net.get_weights(), strict=True))


def test_the_table_compares_with_xla() -> None:
    *_, row = table({"cnn15": [600.0, 300.0, 200.0]}).splitlines()
    assert row == "| `cnn15` | 64 | 600 ms | 300 ms | 200 ms | 3.0 |"
