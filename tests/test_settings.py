import os
import re
from pathlib import Path
from typing import Any

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
    assert settings.models_dir == (Path("models").resolve(),)


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
    assert settings.models_dir == (Path("/srv/models"),)
    assert settings.detector == "mtcnn"


def test_several_model_folders_are_separated_as_in_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACE_MODELS_DIR", f"models{os.pathsep}/srv/my models")
    folders = Settings().models_dir
    assert folders == (Path("models"), Path("/srv/my models"))
    assert Settings(models_dir=folders).models_dir == Settings(models_dir=[*folders]).models_dir == folders
    sent = Settings(models_dir=folders).model_dump(exclude_unset=True)  # as `facet bulk` sends them
    assert Settings(**sent).models_dir == folders


@pytest.mark.parametrize("value", [":", "models:", ":mine", "a: :b"])
def test_a_model_folder_without_a_name_is_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("FACE_MODELS_DIR", value.replace(":", os.pathsep))
    with pytest.raises(ValidationError, match="separated as in PATH; one of them has no name"):
        Settings()


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


@pytest.mark.parametrize("address", ["http://collector:4318", "https://traces.example.org/facet/", ""])
def test_addresses_of_a_collector(address: str) -> None:
    assert Settings(otlp_endpoint=address).otlp_endpoint == address


@pytest.mark.parametrize(
    "address",
    [
        "collector:4318",
        "grpc://collector:4317",
        "http://",
        "http://me:secret@collector:4318",
        "http://collector:4318?key=secret",
        "http://collector:4318/v1/traces/",
        "http://collector:port",
    ],
)
def test_other_addresses_of_a_collector_are_refused(address: str) -> None:
    with pytest.raises(ValidationError, match="http://collector:4318, without user") as refused:
        Settings(otlp_endpoint=address)
    assert "secret" not in str(refused.value)


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
        ("FACE_HOST", "[localhost]", r"FACE_HOST: .*an IPv6 address such as \[::1\].*'\[localhost\]'"),
        ("FACE_HOST", "[::1", r"FACE_HOST: .*an IPv6 address such as \[::1\]"),
        ("FACE_ALLOWED_HOSTS", "a.example.org:80", "FACE_ALLOWED_HOSTS: .*without scheme, port and path"),
        ("FACE_ALLOWED_HOSTS", "http://a.example.org", "FACE_ALLOWED_HOSTS: .*host name such as"),
        ("FACE_ALLOWED_HOSTS", "a.*.example.org", "FACE_ALLOWED_HOSTS: .*host name such as"),
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

    @pytest.mark.parametrize("value", [",", " ", " ,\n, "])
    def test_a_value_without_any_is_refused(self, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
        monkeypatch.setenv("FACE_API_KEYS", value)
        with pytest.raises(ValidationError) as caught:
            Settings()
        assert explain(caught.value).startswith("FACE_API_KEYS: The value contains no API key.")

    @pytest.mark.parametrize("name", ["FACE_API_KEYS", "FACE_API_KEYS_FILE"])
    def test_an_empty_value_is_none_at_all(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        monkeypatch.setenv(name, "")
        assert Settings().keys() == frozenset()

    def test_a_key_in_place_of_a_file_is_not_shown(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("FACE_API_KEYS_FILE", self.ONE)
        with pytest.raises(ValidationError) as caught:
            Settings()
        assert explain(caught.value) == (
            "FACE_API_KEYS_FILE: The file cannot be read: No such file or directory. "
            "The value must be the path of a file; a key itself belongs in FACE_API_KEYS."
        )
        assert self.ONE not in str(caught.value)

    def test_they_are_not_shown(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        path = tmp_path / "keys"
        path.write_text(self.TWO)
        monkeypatch.setenv("FACE_API_KEYS_FILE", str(path))
        text = repr(Settings(api_keys=frozenset({self.ONE})))
        assert self.ONE not in text
        assert self.TWO not in text


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("FACE_API_KEY", "Did you mean FACE_API_KEYS?"),
        ("FACE_APIKEYS", "Did you mean FACE_API_KEYS?"),
        ("FACE_PROT", "Did you mean FACE_PORT?"),
        ("face_hosts", "Did you mean FACE_HOST?"),
        ("FACET_API_KEYS", "Did you mean FACE_API_KEYS?"),
        ("FACE_GPU", "docs/reference/settings.md lists the settings."),
    ],
)
def test_an_unknown_variable_is_named_with_the_nearest_setting(name: str, near: str) -> None:
    (message,) = unknown_variables({name: "a-secret", "FACE_PORT": "1", "face_models": "x", "PATH": "/bin"})
    assert message.startswith(f"{name}: This is not a setting of Facet. {near} ")
    assert "secret" not in message


def test_variables_of_others_and_variables_without_a_value_are_ignored() -> None:
    links = {"FACET_PORT": "tcp://10.0.0.1:8000", "FACET_SERVICE_HOST": "10.0.0.1", "FACET_CHECKOUT": "/srv"}
    assert unknown_variables({"FACE_GPU": "", "FACETS": "1", "MY_FACE_PORT": "1", **links}) == []


def test_variables_of_kubernetes_get_one_message_with_the_remedy() -> None:
    links = {
        "FACE_PORT_8000_TCP": "tcp://10.0.0.1:8000",
        "FACE_PORT_8000_TCP_ADDR": "10.0.0.1",
        "FACE_SERVICE_HOST": "10.0.0.1",
        "FACE_SERVICE_PORT_HTTP": "8000",
        "FACE_STORE_PORT": "tcp://10.0.0.2:80",
    }
    (message,) = unknown_variables({**links, "FACE_PORT": "tcp://10.0.0.1:8000"})
    assert message.startswith(f"{', '.join(links)}: Kubernetes sets these variables")
    assert "enableServiceLinks: false" in message


@pytest.mark.parametrize(
    ("given", "host"),
    [("[::1]", "::1"), ("::", "::"), (" 127.0.0.1 ", "127.0.0.1"), ("[fe80::1]", "fe80::1")],
)
def test_hosts_may_have_brackets(given: str, host: str) -> None:
    assert Settings(host=given).host == host


@pytest.mark.parametrize(
    ("settings", "hosts"),
    [
        ({}, {"127.0.0.1"}),
        ({"host": "localhost"}, {"localhost"}),
        ({"host": "0.0.0.0"}, {"*"}),
        ({"api_keys": frozenset({"a-key-of-some-length"})}, {"*"}),
        ({"allowed_hosts": "Faces.example.org, *.example.net,"}, {"faces.example.org", "*.example.net"}),
        ({"allowed_hosts": "[::1]", "host": "0.0.0.0"}, {"[::1]"}),
        ({"allowed_hosts": "*"}, {"*"}),
    ],
)
def test_allowed_hosts(settings: dict[str, Any], hosts: set[str]) -> None:
    assert Settings(**settings).hosts() == hosts


def test_the_address_of_a_database_is_a_secret() -> None:
    address = "postgresql://user:top-secret@host/db"
    settings = Settings(gallery=address)
    assert settings.is_gallery_in_postgres
    assert "top-secret" not in repr(settings)
    with pytest.raises(ValidationError) as caught:
        Settings(gallery="mysql://user:top-secret@host/db")
    assert "top-secret" not in explain(caught.value)
    assert "postgresql://" in explain(caught.value)


@pytest.mark.parametrize("search", ["hnsw", "exact"])
def test_a_search_in_the_database_needs_a_database(search: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Settings(gallery="gallery.db", gallery_search=search)
    assert "needs a gallery in PostgreSQL" in explain(caught.value)
    assert Settings(gallery="postgres:///facet", gallery_search=search).gallery_search == search


def test_the_drain_delay_is_part_of_the_shutdown_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACE_SHUTDOWN_TIMEOUT_S", "10")
    monkeypatch.setenv("FACE_DRAIN_DELAY_S", "5")
    assert Settings().drain_delay_s == 5
    monkeypatch.setenv("FACE_DRAIN_DELAY_S", "6")
    with pytest.raises(ValidationError) as refused:
        Settings()
    message = "The value must be at most half of FACE_SHUTDOWN_TIMEOUT_S, which is 10; it is '6'."
    assert explain(refused.value) == f"FACE_DRAIN_DELAY_S: {message}"
    monkeypatch.setenv("FACE_SHUTDOWN_TIMEOUT_S", "0")
    with pytest.raises(ValidationError) as refused:
        Settings()
    assert [problem["loc"] for problem in refused.value.errors()] == [("shutdown_timeout_s",)]


@pytest.mark.parametrize("address", ["", "local", "10.0.0.1:6379", "head.example.org:6379"])
def test_addresses_of_a_ray_cluster(address: str) -> None:
    assert Settings(ray_address=address).ray_address == address


@pytest.mark.parametrize("address", ["auto", "ray://head:10001", "head", "head:port", "a b:1", "head:123456"])
def test_invalid_addresses_of_a_ray_cluster(address: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Settings(ray_address=address)
    assert explain(refused.value) == (
        "FACE_RAY_ADDRESS: The value must be local, or host:port on a node of the cluster; ray:// is not "
        f"supported; it is {address!r}."
    )


@pytest.mark.parametrize(
    ("replicas", "expected"), [("1", (1, 1)), ("2", (2, 2)), ("1-8", (1, 8)), ("3-3", (3, 3))]
)
def test_numbers_of_replicas(replicas: str, expected: tuple[int, int]) -> None:
    assert Settings(ray_replicas=replicas).ray_replica_range == expected


@pytest.mark.parametrize("replicas", ["0", "-1", "1-", "-", "1-0", "two", "1 - 2", "10000", "1.5"])
def test_invalid_numbers_of_replicas(replicas: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Settings(ray_replicas=replicas)
    assert explain(refused.value) == (
        "FACE_RAY_REPLICAS: The value must be a number such as 2, or a range such as 1-8; "
        f"it is {replicas!r}."
    )


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"ray_replicas": "3-2"}, "FACE_RAY_REPLICAS=3-2 is no range: the first number is larger"),
        ({"ray_gpus": 0.5}, "FACE_RAY_GPUS=0.5 puts several replicas on a GPU"),
        (
            {"ray_address": "local", "ray_gpus": 1, "device": "cpu"},
            "FACE_DEVICE=cpu contradicts FACE_RAY_GPUS=1, by which Ray chooses the GPU",
        ),
        (
            {"ray_address": "local", "ray_gpus": 1, "device": "cuda:1"},
            "FACE_DEVICE=cuda:1 contradicts FACE_RAY_GPUS=1",
        ),
        ({"ray_address": "local", "device": "cuda"}, "FACE_DEVICE=cuda needs a GPU for the replicas"),
        ({"ray_address": "local", "device": "tensorrt:0"}, "FACE_DEVICE=tensorrt:0 needs a GPU"),
    ],
)
def test_settings_of_ray_that_contradict_each_other(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Settings(**settings)
    assert words in explain(refused.value)


@pytest.mark.parametrize(
    "settings",
    [
        {"ray_gpus": 0.5, "gpu_memory_mb": 2000},
        {"ray_gpus": 1, "device": "cpu"},  # not used without an address
        {"device": "cuda:1"},
        {"ray_address": "local", "ray_gpus": 1, "device": "tensorrt"},
        {"ray_address": "local", "ray_gpus": 1},
    ],
)
def test_settings_of_ray_that_agree(settings: dict[str, Any]) -> None:
    Settings(**settings)
