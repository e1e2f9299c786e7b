"""The Helm chart: what it shares with the service. `make docker-check` renders it."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from app.settings import Settings

CHART = Path("deploy/helm/facet")
TEMPLATES = {path.name: path.read_text() for path in (CHART / "templates").iterdir()}
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())


def test_the_chart_has_the_version_of_the_service() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    assert chart["appVersion"] == project["version"]


def test_the_variables_that_the_chart_sets_are_settings() -> None:
    known = {f"FACE_{name}".upper() for name in Settings.model_fields}
    names = set(re.findall(r"\bFACE_[A-Z_]+", " ".join(TEMPLATES.values())))
    assert names <= known
    in_pod = set(re.findall(r"- name: (FACE_[A-Z_]+)", TEMPLATES["deployment.yaml"]))
    (own,) = re.findall(r"\$own := list (.+?) -", TEMPLATES["_helpers.tpl"])
    assert in_pod - {"FACE_MAX_CONCURRENT"} <= set(re.findall(r"FACE_[A-Z_]+", own))


def test_names_are_quoted_as_yaml_takes_some_for_numbers() -> None:
    lines = [
        line for text in TEMPLATES.values() for line in re.findall(r"^.*: \{\{ .+\}\}$", text, re.MULTILINE)
    ]
    given = re.compile(r"Release\.Name|secretName|secretKey|facet\.claim|runtimeClassName|\{\{ \. ")
    named = [line for line in lines if given.search(line) and "/run/secrets" not in line]
    assert named
    assert [line for line in named if not line.endswith("| quote }}")] == []


def test_defaults_are_those_of_the_service() -> None:
    assert VALUES["shutdown"]["timeoutSeconds"] == Settings.model_fields["shutdown_timeout_s"].default
    assert "runAsUser: 10001" in TEMPLATES["deployment.yaml"]
    assert "USER 10001" in Path("docker/service.Dockerfile").read_text()


def test_the_autoscaler_goes_by_a_metric_that_there_is() -> None:
    (name,) = re.findall(r"metric:\s+name: (\w+)", TEMPLATES["autoscaler.yaml"])
    assert f"| `{name}` | gauge | |" in Path("docs/reference/metrics.md").read_text()


def test_the_schema_has_each_value_and_no_other() -> None:
    def compare(values: dict[str, Any], schema: dict[str, Any], path: str) -> None:
        if "properties" not in schema:  # a mapping that the operator fills
            return
        assert schema["additionalProperties"] is False, path
        assert set(schema["properties"]) - {"global"} == set(values), path
        for name, value in values.items():
            if isinstance(value, dict):
                compare(value, schema["properties"][name], f"{path}.{name}")

    compare(VALUES, json.loads((CHART / "values.schema.json").read_text()), "values")
