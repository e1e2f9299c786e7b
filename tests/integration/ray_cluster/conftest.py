"""Fixtures of the tests that start a Ray cluster."""

import importlib.util
import os

import pytest


@pytest.fixture(scope="session")
def ray() -> None:
    """Ray, which only one environment has. Without it the test is skipped, or fails in CI."""
    if importlib.util.find_spec("ray") is None:
        if "CI" in os.environ:
            pytest.fail("Ray is not installed. `make test-integration` uses .venv-ray.")
        pytest.skip("Ray is not installed; `make test-integration` uses .venv-ray")
