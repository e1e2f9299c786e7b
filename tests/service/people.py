"""Folders of people for tests of the calibration: one colour per person, which the fake embedders return."""

from pathlib import Path

import numpy as np
from numpy import ndarray
from PIL import Image as Pil

from app.pipeline.analyzer import Analyzer
from tests.fakes import FakeSession, fake_analyzer


def colour_analyzer() -> Analyzer:
    """Return an analyzer over fake nets, whose embedders tell the colours of people well apart."""

    def colours(images: ndarray) -> dict[str, ndarray]:
        difference = (images.mean(axis=(1, 2)) - 150.3).astype(np.float32)
        return {"embedding": difference / np.linalg.norm(difference, axis=1, keepdims=True)}

    analyzer = fake_analyzer()
    for model in analyzer.models:
        for stage, session in model.sessions.items():
            if stage == "embedder":
                assert isinstance(session, FakeSession)
                session.answer = colours
    return analyzer


def write_people(folder: Path, people: int, images: int = 2, seed: int = 0) -> Path:
    """Write images of people, each of a random colour with small differences, and return the folder."""
    rng = np.random.default_rng(seed)
    for person in range(people):
        inside = folder / f"person{person:03d}"
        inside.mkdir(parents=True)
        colour = rng.integers(50, 250, 3)
        for i in range(images):
            shade = tuple(int(v) for v in colour + rng.integers(-2, 3, 3))
            Pil.new("RGB", (24, 20), shade).save(inside / f"{i}.png")
    return folder
