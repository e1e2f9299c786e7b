import os
import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from app.settings import Settings, explain, unknown_variables


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("FACE_")]:
        monkeypatch.delenv(name)


def test_defaults() -> None:
    settings = Settings()
    assert (settings.host, settings.port, settings.device) == ("127.0.0.1", 8000, "auto")
    assert settings.max_image_bytes == 20 * 2**20
    assert settings.max_image_pixels == 50_000_000
    assert settings.models is None
    assert settings.models_dir == Path("models").resolve()


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACE_PORT", "9000")
    monkeypatch.setenv("FACE_DEVICE", "cuda:1")
    monkeypatch.setenv("FACE_MODELS", "mtcnn, sface,,")
    monkeypatch.setenv("FACE_MODELS_DIR", "/srv/models")
    monkeypatch.setenv("FACE_DETECTOR", "mtcnn")
    monkeypatch.setenv("FACE_MAX_QUEUE", "0")
    settings = Settings()
    assert (settings.port, settings.device, settings.max_queue) == (9000, "cuda:1", 0)
    assert settings.models == frozenset({"mtcnn", "sface"})
    assert settings.models_dir == Path("/srv/models")
    assert settings.detector == "mtcnn"


@pytest.mark.parametrize("name", ["FACE_MODELS", "FACE_DETECTOR", "FACE_PORT"])
def test_an_empty_variable_is_none_at_all(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    defaults = Settings()
    monkeypatch.setenv(name, "")
    assert Settings() == defaults


def test_arguments_win_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACE_PORT", "9000")
    assert Settings(port=9001).port == 9001


@pytest.mark.parametrize(
    ("value", "path"),
    [("/facet", "/facet"), ("facet/", "/facet"), (" /a/b/ ", "/a/b"), ("/", ""), ("", "")],
)
def test_root_paths(monkeypatch: pytest.MonkeyPatch, value: str, path: str) -> None:
    monkeypatch.setenv("FACE_ROOT_PATH", value)
    assert Settings().root_path == path


def test_trusted_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [str(network) for network in Settings().proxies()] == ["127.0.0.0/8", "::1/128"]
    monkeypatch.setenv("FACE_TRUSTED_PROXIES", "10.1.2.3, 172.16.5.5/12,fd00::/8,")
    networks = [str(network) for network in Settings().proxies()]
    assert networks == ["10.1.2.3/32", "172.16.0.0/12", "fd00::/8"]


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError):
        Settings().port = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("FACE_PORT", "eighty", "FACE_PORT: .*integer.*'eighty'"),
        ("FACE_PORT", "70000", "FACE_PORT: .*65535"),
        ("FACE_DEVICE", "gpu", "FACE_DEVICE: The value must be auto, cpu, cuda, cuda:N.*'gpu'"),
        ("FACE_DEVICE", "cpu:1", "FACE_DEVICE"),
        ("FACE_LOG_LEVEL", "loud", "FACE_LOG_LEVEL: .*'debug'"),
        ("FACE_MAX_CONCURRENT", "-1", "FACE_MAX_CONCURRENT: .*greater than or equal to 0"),
        ("FACE_MAX_IMAGE_PIXELS", "1000000000", "FACE_MAX_IMAGE_PIXELS: .*178000000"),
        ("FACE_THREADS", "-1", "FACE_THREADS"),
        ("FACE_ROOT_PATH", "//evil", "FACE_ROOT_PATH: The value must be a path such as /facet.*'//evil'"),
        ("FACE_ROOT_PATH", "https://example.org/facet", "FACE_ROOT_PATH: .*a path such as /facet"),
        ("FACE_ROOT_PATH", "/a/../b", "FACE_ROOT_PATH: .*a path such as /facet"),
        ("FACE_ROOT_PATH", "/a b", "FACE_ROOT_PATH: .*a path such as /facet"),
        ("FACE_TRUSTED_PROXIES", "localhost", "FACE_TRUSTED_PROXIES: .*IP address or a network.*'localhost'"),
        ("FACE_TRUSTED_PROXIES", "10.0.0.0/8,*", "FACE_TRUSTED_PROXIES: .*IP address or a network"),
    ],
)
def test_a_bad_value_names_its_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError) as caught:
        Settings()
    text = explain(caught.value)
    assert len(text.splitlines()) == 1
    assert re.match(words, text), text


class TestKeys:
    ONE, TWO, THREE = (f"key-number-{i}-of-some-length" for i in range(3))

    def test_of_the_environment_and_a_file(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        path = tmp_path / "keys"
        path.write_text(f"# a comment\n\n{self.THREE}\n  {self.ONE}  \n")
        monkeypatch.setenv("FACE_API_KEYS", f"{self.ONE}, {self.TWO},")
        monkeypatch.setenv("FACE_API_KEYS_FILE", str(path))
        assert Settings().keys() == {self.ONE, self.TWO, self.THREE}

    def test_none(self) -> None:
        assert Settings().keys() == frozenset()

    @pytest.mark.parametrize(
        "key", ["short", "with a space inside", "über-sixteen-characters", "tab\tulated-key-16"]
    )
    def test_unfit_ones_are_refused_and_not_shown(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, key: str
    ) -> None:
        monkeypatch.setenv("FACE_API_KEYS", f"{self.ONE},{key}")
        with pytest.raises(ValidationError) as caught:
            Settings()
        text = explain(caught.value)
        assert text.startswith("FACE_API_KEYS: ")
        assert key not in text
        assert self.ONE not in text
        monkeypatch.delenv("FACE_API_KEYS")
        path = tmp_path / "keys"
        path.write_text(key, encoding="utf-8")
        monkeypatch.setenv("FACE_API_KEYS_FILE", str(path))
        with pytest.raises(ValidationError) as caught:
            Settings()
        assert key not in explain(caught.value)

    @pytest.mark.parametrize("content", [None, b"", b"# nothing\n", b"\xff\xfe"])
    def test_a_file_without_any_is_refused(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes | None
    ) -> None:
        path = tmp_path / "keys"
        if content is not None:
            path.write_bytes(content)
        monkeypatch.setenv("FACE_API_KEYS_FILE", str(path))
        with pytest.raises(ValidationError) as caught:
            Settings()
        assert explain(caught.value).startswith("FACE_API_KEYS_FILE: ")

    def test_they_are_not_shown(self) -> None:
        assert self.ONE not in repr(Settings(api_keys=frozenset({self.ONE})))


def test_misspelt_variables_are_found() -> None:
    names = ["FACE_PROT", "FACE_PORT", "PATH", "FACE_GPU", "FACE_MODELS_DIR"]
    assert unknown_variables(names) == ["FACE_GPU", "FACE_PROT"]
