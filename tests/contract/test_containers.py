"""The container files: what compose starts, and what it watches with names the service really has."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml  # type: ignore[import-untyped]
from prometheus_client.parser import text_string_to_metric_families

from app.api.metrics import Metrics
from app.api.transport.memory_budget import MemoryBudget
from app.runtime.telemetry import RejectReason

MONITORING = Path("docker/monitoring")
DASHBOARD = json.loads((MONITORING / "grafana/dashboards/facet.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
RULES = yaml.safe_load((MONITORING / "alerts.yml").read_text())["groups"][0]["rules"]
SHOWN = {f"panel {p['title']}, {t['refId']}": t["expr"] for p in PANELS for t in p["targets"]}
ALARMED = {rule["alert"]: rule["expr"] for rule in RULES}
COMPOSE = yaml.safe_load(Path("docker-compose.yml").read_text())
SERVICES = COMPOSE["services"]
REPLICAS = ["replica-1", "replica-2"]


@pytest.fixture(scope="module")
def metrics() -> dict[str, set[str]]:
    """Each sample's name and its labels, after everything has happened once."""
    told = Metrics(MemoryBudget(1))
    told.request_started()
    told.request_finished("POST", "/detect", 200, 0.1)
    told.problem("not-an-image")
    told.stage("total", 0.1)
    told.batch("mtcnn", "pnet", 1, 2)
    told.rejected("queue-full")
    told.device_memory_exhausted("mtcnn", "pnet", 2)
    told.gallery_action("add-face")
    told.identified(1, 1)
    samples: dict[str, set[str]] = {
        # set only where a model is loaded, and where there is a GPU
        "face_model_info": {"model", "task", "provider", "default"},
        "face_device_memory_bytes": {"device", "kind"},
        # set only where there are several workers, by their supervisor
        "face_workers_wanted": set(),
        "face_worker_restarts_total": {"reason"},
    }
    for family in text_string_to_metric_families(told.text().decode()):
        for sample in family.samples:
            samples[sample.name] = set(sample.labels)
    return samples


@pytest.mark.parametrize("where", [*SHOWN, *ALARMED])
def test_it_asks_for_metrics_and_labels_there_are(metrics: dict[str, set[str]], where: str) -> None:
    expression = {**SHOWN, **ALARMED}[where]
    names = re.findall(r"\bface_\w+", expression)
    if not names:
        assert re.search(r'\bup\{job="facet"\}|\bALERTS\{', expression)
        return
    assert set(names) <= set(metrics)
    labels = {"instance"}.union(*(metrics[name] for name in names))
    grouped = re.findall(r"\b(?:by|ignoring|on) \(([^)]*)\)", expression)
    asked = {label.strip() for labels in grouped for label in labels.split(",")}
    asked |= set(re.findall(r"[{,]\s*(\w+)(?:=~|!~|!=|=)", expression))
    assert asked <= labels


def test_reasons_that_alarm_are_those_of_the_pipeline_and_of_the_connections() -> None:
    (reasons,) = re.findall(r'reason=~"([^"]+)"', ALARMED["FacetTurnsAway"])
    assert set(reasons.split("|")) <= set(get_args(RejectReason))
    admission, protocol = (
        Path(f"app/{name}.py").read_text() for name in ("runtime/admission", "api/transport/h11_protocol")
    )
    reported = {reason for reason in reasons.split("|") if f'"{reason}"' in admission}
    assert reported == {"queue-full", "deadline"}
    assert set(reasons.split("|")) - reported == {"connections"}
    assert '"connections"' in protocol


def test_every_metric_is_on_the_dashboard(metrics: dict[str, set[str]]) -> None:
    shown = " ".join(SHOWN.values())
    families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in metrics}
    families = {name for name in families if not name.endswith("_created")}
    assert {name for name in families if not re.search(rf"\b{name}", shown)} == set()


def test_every_alert_has_a_test_that_sees_it_fire() -> None:
    tests = yaml.safe_load((MONITORING / "alerts_test.yml").read_text())["tests"]
    fired = {case["alertname"] for t in tests for case in t["alert_rule_test"] if case["exp_alerts"]}
    assert fired == set(ALARMED)


def test_every_alert_is_in_the_documents() -> None:
    text = Path("docs/guides/monitoring.md").read_text()
    assert [name for name in ALARMED if f"`{name}`" not in text] == []


def test_panels_have_room_and_the_provisioned_source() -> None:
    (source,) = yaml.safe_load((MONITORING / "grafana/provisioning/datasources/prometheus.yml").read_text())[
        "datasources"
    ]
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    cells: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        own = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24
        assert not own & cells
        cells |= own
    for panel in PANELS:
        for asked in (panel["datasource"], *(target["datasource"] for target in panel["targets"])):
            assert (asked["type"], asked["uid"]) == (source["type"], source["uid"])


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not here")
def test_the_dashboards_expressions_are_promql(tmp_path: Path) -> None:
    known = {"$__rate_interval": "1m", "$instance": "a"}
    rules = []
    for number, expression in enumerate(SHOWN.values()):
        for name, value in known.items():
            expression = expression.replace(name, value)
        rules.append({"record": f"panel:{number}", "expr": expression})
    file = tmp_path / "rules.yml"
    file.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))
    done = subprocess.run(["promtool", "check", "rules", file], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", SERVICES)
def test_a_container_can_do_little(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "cap_add", "network_mode", "pid", "ipc"} & set(service)
    assert "docker.sock" not in str(service)
    user = service["user"] if "user" in service else _user_of(service)
    user = re.sub(r"\$\{\w+:-(\w+)\}", r"\1", user)
    assert int(user.split(":")[0]) > 0


@pytest.mark.parametrize("name", SERVICES)
def test_a_container_has_limits(name: str) -> None:
    service = SERVICES[name]
    assert service["pids_limit"] == "${PIDS_LIMIT:-1024}"
    if name in ("gpu", "cpu", *REPLICAS):
        assert (service["mem_limit"], service["cpus"]) == ("${MEMORY_LIMIT:-8g}", "${CPU_LIMIT:-0}")
    elif name not in ("train", "train-gpu"):  # training gets the machine
        assert re.fullmatch(r"\d+[mg]", service["mem_limit"])
        assert service["cpus"] == 1


def interpolated(text: str, variables: dict[str, str]) -> str:
    """Return a text with its variables replaced from the innermost one, as compose does."""
    pattern = re.compile(r"\$\{([A-Z_]+):([-+])([^${}]*)\}")
    while found := pattern.search(text):
        value, given = variables.get(found[1], ""), bool(variables.get(found[1]))
        text = text.replace(found[0], found[3] if given == (found[2] == "+") else value)
    return text


@pytest.mark.parametrize(
    ("variables", "hosts"),
    [
        ({}, {"facet"}),
        ({"FACE_ALLOWED_HOSTS": "faces.example.org,a"}, {"facet", "faces.example.org", "a"}),
        ({"FACE_ALLOWED_HOSTS": "a", "BIND": "0.0.0.0"}, {"facet", "a"}),
        ({"BIND": "0.0.0.0"}, {"facet", "*"}),
        ({"API_KEYS_FILE": "./keys"}, {"facet", "*"}),
        ({"FACE_API_KEYS": "a-key-of-some-length", "BIND": "0.0.0.0"}, {"facet", "*"}),
    ],
)
@pytest.mark.parametrize("name", ["gpu", "cpu"])
def test_on_loopback_without_keys_a_container_answers_to_known_names(
    name: str, variables: dict[str, str], hosts: set[str]
) -> None:
    from app.settings import Settings

    given = interpolated(SERVICES[name]["environment"]["FACE_ALLOWED_HOSTS"], variables)
    assert Settings(host="0.0.0.0", allowed_hosts=given).hosts() == hosts
    assert "facet:8000" in (MONITORING / "targets.yml").read_text()


@pytest.mark.parametrize(
    ("variables", "hosts"),
    [
        ({}, {"replica-1", "replica-2"}),
        ({"FACE_ALLOWED_HOSTS": "faces.example.org"}, {"replica-1", "replica-2", "faces.example.org"}),
        ({"BIND": "0.0.0.0"}, {"replica-1", "replica-2", "*"}),
    ],
)
@pytest.mark.parametrize("name", REPLICAS)
def test_on_loopback_without_keys_a_replica_answers_to_known_names(
    name: str, variables: dict[str, str], hosts: set[str]
) -> None:
    from app.settings import Settings

    given = interpolated(SERVICES[name]["environment"]["FACE_ALLOWED_HOSTS"], variables)
    assert Settings(host="0.0.0.0", allowed_hosts=given).hosts() == hosts
    (group,) = yaml.safe_load(Path("docker/replicas/targets.yml").read_text())
    assert group["targets"] == [f"{name}:8000" for name in REPLICAS]


def test_only_the_balancer_of_the_replicas_has_a_port() -> None:
    assert [name for name in (*REPLICAS, "postgres", "balancer") if SERVICES[name].get("ports")] == [
        "balancer"
    ]


@pytest.mark.parametrize("name", REPLICAS)
def test_replicas_stop_without_refusing_requests(name: str) -> None:
    from app.settings import Settings

    text = Path("docker/replicas/haproxy.cfg").read_text()
    (interval, fast, failures) = re.findall(r"check inter (\d+)ms fastinter (\d+)ms fall (\d+)", text)[0]
    noticed = (int(interval) + int(fast) * (int(failures) - 1)) / 1000
    delay = float(SERVICES[name]["environment"]["FACE_DRAIN_DELAY_S"])
    assert 2 * noticed < delay <= Settings.model_fields["shutdown_timeout_s"].default / 2


def test_no_service_has_a_password_that_it_does_not_need() -> None:
    for name, service in SERVICES.items():
        values = {key: value for key, value in service.get("environment", {}).items() if "PASSWORD" in key}
        if "env_file" in service:
            assert values.pop("POSTGRES_PASSWORD") == values.pop("GRAFANA_PASSWORD") == ""
        for key, value in values.items():
            variable = "GRAFANA_PASSWORD" if name == "grafana" else "POSTGRES_PASSWORD"
            assert value == f"${{{variable}:-}}", key


def test_the_timeouts_of_the_balancer_fit_those_of_the_service() -> None:
    from app.settings import Settings

    text = Path("docker/replicas/haproxy.cfg").read_text()

    def seconds(pattern: str) -> float:
        (value,) = re.findall(rf"^ +{pattern} (\d+)s\b", text, re.MULTILINE)
        return float(value)

    def default(name: str) -> float:
        return float(Settings.model_fields[name].default)

    assert seconds("timeout http-request") >= default("read_timeout_s")
    assert seconds("timeout client") > default("write_timeout_s")
    assert seconds("timeout server") > default("request_timeout_s")
    assert seconds("http-request set-timeout server") > default("cluster_timeout_s")
    assert seconds("http-request wait-for-body time") >= default("body_timeout_s")
    stopping = float(SERVICES["balancer"]["stop_grace_period"].removesuffix("s"))
    assert stopping > seconds("hard-stop-after") > seconds("timeout server")
    per_request = 3 * int(re.findall(r"tune.bufsize (\d+)", text)[0])
    (connections,) = re.findall(r"maxconn (\d+)", text)
    assert int(connections) * per_request < 2**30 == int(SERVICES["balancer"]["mem_limit"][:-1]) * 2**30


def _user_of(service: dict[str, Any]) -> str:
    """The last user its Dockerfile names, in the stage that is built."""
    build = service["build"]
    text = Path(build["dockerfile"]).read_text()
    if "target" in build:
        text = re.split(rf"^FROM .* AS {build['target']}$", text, flags=re.MULTILINE)[1]
        text = re.split(r"^FROM ", text, flags=re.MULTILINE)[0]
    return re.findall(r"^USER (.+)$", text, re.MULTILINE)[-1]


@pytest.mark.parametrize("name", SERVICES)
def test_ports_are_the_machines_own_unless_someone_says_otherwise(name: str) -> None:
    for port in SERVICES[name].get("ports", []):
        assert re.match(r"(\$\{BIND:-)?127\.0\.0\.1\}?:", port)


@pytest.mark.parametrize("name", ["gpu", "cpu"])
def test_the_default_file_of_the_gallery_is_on_a_volume_that_only_the_service_reads(name: str) -> None:
    from app.settings import Settings

    text = Path(SERVICES[name]["build"]["dockerfile"]).read_text()
    (root,) = re.findall(r"^WORKDIR (.+)$", text, re.MULTILINE)
    file = Path(root) / Path(Settings.model_fields["gallery"].default).relative_to(Path.cwd())
    (volume,) = [volume for volume in SERVICES[name]["volumes"] if isinstance(volume, str)]
    assert volume == f"gallery:{file.parent}"
    assert "gallery" in COMPOSE["volumes"]
    (folder,) = re.findall(
        r"^RUN install --directory --owner=facet --group=facet --mode=0700 (.+)$", text, re.M
    )
    assert Path(root) / folder == file.parent
    assert re.search(r"useradd --uid 10001 .* facet$", text, re.M)
    assert _user_of(SERVICES[name]) == "10001"


def test_what_starts_when() -> None:
    assert {name: service.get("profiles", []) for name, service in SERVICES.items()} == {
        "gpu": [],
        "cpu": ["cpu"],
        "replica-1": ["replicas"],
        "replica-2": ["replicas"],
        "balancer": ["replicas"],
        "postgres": ["replicas"],
        "train": ["train"],
        "train-gpu": ["train-gpu"],
        "prometheus": ["monitoring"],
        "grafana": ["monitoring"],
    }
    for name in ("gpu", "train-gpu"):
        (device,) = SERVICES[name]["deploy"]["resources"]["reservations"]["devices"]
        assert (device["driver"], device["capabilities"]) == ("nvidia", ["gpu"])
    on_gpus = yaml.safe_load(Path("docker/replicas/gpu.yml").read_text())["services"]
    assert list(on_gpus) == REPLICAS
    devices = [s["deploy"]["resources"]["reservations"]["devices"][0] for s in on_gpus.values()]
    assert [device["device_ids"] for device in devices] == [["0"], ["1"]]


def test_the_service_has_time_to_finish_what_it_has_begun() -> None:
    from app.settings import Settings

    for name in ("gpu", "cpu", *REPLICAS):
        period = SERVICES[name]["stop_grace_period"]
        assert int(period.removesuffix("s")) > Settings.model_fields["shutdown_timeout_s"].default


def test_images_are_pinned_and_have_one_base() -> None:
    pinned = re.compile(r"[a-z/-]+:v?\d+\.\d+\.\d+(-[a-z0-9-]+)?(@sha256:[0-9a-f]{64})?")
    dockerfiles = [path.read_text() for path in Path("docker").glob("*.Dockerfile")]
    bases = {base for text in dockerfiles for base in re.findall(r"^ARG BASE=(.+)$", text, re.MULTILINE)}
    others = {s["image"] for s in SERVICES.values() if "build" not in s}
    assert len(bases) == 1
    assert len(others) == 4
    assert all(pinned.fullmatch(image) for image in bases | others)
    stages = {"base"}
    for text in dockerfiles:
        assert set(re.findall(r"^FROM (\S+)", text, re.MULTILINE)) - stages == {"${BASE}"}


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_digests_are_pinned_by_one_command(tmp_path: Path) -> None:
    for name in ("docker-compose.yml", *(str(path) for path in Path("docker").glob("*.Dockerfile"))):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        text = re.sub("@sha256:[0-9a-f]{64}", "", Path(name).read_text())
        (tmp_path / name).write_text(text)
    script = shutil.copy("docker/pin-digests.sh", tmp_path / "docker")
    digest = f"sha256:{'0123456789abcdef' * 4}"
    registry = tmp_path / "bin" / "docker"
    registry.parent.mkdir()
    registry.write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/asked\necho {digest}\n')
    registry.chmod(0o755)
    environment = {"PATH": f"{registry.parent}:/usr/local/bin:/usr/bin:/bin"}
    for _ in range(2):
        subprocess.run(["bash", script], env=environment, check=True, capture_output=True)
    asked = (tmp_path / "asked").read_text().splitlines()
    compose = yaml.safe_load((tmp_path / "docker-compose.yml").read_text())["services"]
    for name in ("prometheus", "grafana", "balancer", "postgres"):
        assert compose[name]["image"] == f"{SERVICES[name]['image'].split('@')[0]}@{digest}"
    assert compose["cpu"]["image"] == "facet:cpu"
    for path in (tmp_path / "docker").glob("*.Dockerfile"):
        (base,) = re.findall(r"^ARG BASE=(.+)$", path.read_text(), re.MULTILINE)
        assert base.endswith(f"@{digest}")
    assert len(asked) == 5  # each image once, and none that has its digest


def test_training_on_a_gpu_has_its_own_requirements_and_the_volumes_of_training() -> None:
    train, gpu = SERVICES["train"], SERVICES["train-gpu"]
    assert gpu["build"] == train["build"] | {"args": {"REQUIREMENTS": "train-gpu"}}
    assert gpu["environment"] == {"KERAS_BACKEND": "torch"}
    for field in ("volumes", "user", "restart", "tmpfs"):
        assert gpu[field] == train[field]
    packages = Path("requirements/train-gpu.txt").read_text()
    assert re.search(r"^torch==", packages, re.M)
    assert re.search(r"^nvidia-cudnn-cu13==", packages, re.M)
    assert not re.search(r"^tensorflow", packages, re.M)
