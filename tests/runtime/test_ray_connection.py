"""What Ray is told before a connection. tests/integration/ray_cluster has real clusters."""

import os
from pathlib import Path

import pytest

from app.runtime.ray_connection import use_token


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home folder of a user without a token."""
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.setenv(name, "")  # so that the variable is as before after the test
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_a_token_of_the_user_is_sent(home: Path) -> None:
    use_token()
    assert "RAY_AUTH_MODE" not in os.environ
    (home / ".ray").mkdir()
    (home / ".ray" / "auth_token").write_text("secret")
    use_token()
    assert os.environ["RAY_AUTH_MODE"] == "token"


def test_a_token_in_a_variable_is_sent(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "secret")
    use_token()
    assert os.environ["RAY_AUTH_MODE"] == "token"


def test_the_choice_of_the_user_counts(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "secret")
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    use_token()
    assert os.environ["RAY_AUTH_MODE"] == "disabled"
