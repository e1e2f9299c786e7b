"""Render the Helm chart with good and bad values, and validate the manifests.

    .venv-docker/bin/python -m scripts.check_chart

No cluster and no helm program is needed. The exit status is 1 if a case fails. A case of good values fails if
a manifest does not fit the schema of Kubernetes, or lacks one of the expected texts. A case of bad values
fails if the chart accepts them, or gives another message.
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

import helm_python
import kubernetes_validate
import yaml  # type: ignore[import-untyped]
from helm_python.errors import HelmError

from scripts.chart_cases import BAD, GOOD, Good, Values

CHART = Path("deploy/helm/facet")
KUBERNETES = ("1.27", "1.37")
"""The oldest version that the chart allows, and the newest that is known."""

_CUSTOM = ("ServiceMonitor",)
"""Kinds of resources that are not part of Kubernetes."""


def render(values: Values, files: list[str], release: str = "faces") -> list[dict[str, Any]]:
    """Return the manifests of a release.

    Args:
        values: values in addition to the chart's own.
        files: files of values in the chart, which come before `values`.
        release: its name.
    """
    merged: dict[str, Any] = {}
    for name in files:
        merged = _merge(merged, yaml.safe_load((CHART / name).read_text()))
    with helm_python.Chart.load(CHART) as chart:
        merged = _merge(merged, values)
        chart.validate_schema(merged)
        texts = chart.render(merged, name=release, namespace="vision")
    manifests = [yaml.safe_load(text) for name, text in texts.items() if name.endswith(".yaml")]
    return [manifest for manifest in manifests if manifest]


def check_good(good: Good) -> list[str]:
    """Return what is wrong with the manifests of good values."""
    manifests, expected = render(good.values, good.files, good.release), good.expected
    wrong = []
    for manifest in manifests:
        if manifest["kind"] not in _CUSTOM:
            wrong += [fault for version in KUBERNETES if (fault := _fault(manifest, version))]
    texts = {manifest["kind"]: " ".join(yaml.safe_dump(manifest).split()) + " " for manifest in manifests}
    if set(texts) != set(expected):
        wrong.append(f"the kinds are {sorted(texts)} instead of {sorted(expected)}")
    for kind, parts in expected.items():
        wrong += [
            f"{kind} has no {part!r}: {texts.get(kind)}" for part in parts if part not in texts.get(kind, "")
        ]
    return wrong


def check_bad(values: Values, message: str) -> list[str]:
    """Return what is wrong with the message for bad values."""
    try:
        render(values, [])
    except HelmError as error:
        return [] if message in str(error) else [f"the message is {str(error)!r}, without {message!r}"]
    return ["the values are accepted"]


def main() -> None:
    """Run all cases; end with status 1 if one fails."""
    failed = 0
    for name, good in GOOD.items():
        failed += _report(name, check_good(good))
    for bad in BAD:
        failed += _report(bad.message, check_bad(bad.values, bad.message))
    lint = helm_python.lint(CHART, GOOD["cpu"].values, strict=True)
    faults = [str(entry) for entry in lint["messages"] if entry.get("severity") in ("WARNING", "ERROR")]
    failed += _report("helm lint", faults)
    with tempfile.TemporaryDirectory() as folder:
        failed += _report("helm package", [] if helm_python.package(CHART, destination=folder) else ["none"])
    print(f"{len(GOOD)} sets of good values and {len(BAD)} of bad values for the chart: {failed} failed")
    sys.exit(1 if failed else 0)


def _report(name: str, wrong: list[str]) -> int:
    for line in wrong:
        print(f"{name}: {line}", file=sys.stderr)
    return 1 if wrong else 0


def _fault(manifest: dict[str, Any], version: str) -> str | None:
    try:
        kubernetes_validate.validate(manifest, version, strict=True)
    except (kubernetes_validate.ValidationError, kubernetes_validate.SchemaNotFoundError) as error:
        return f"{manifest['kind']} in Kubernetes {version}: {error}"
    return None


def _merge(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """Return the values of both; the second ones take precedence."""
    merged = dict(first)
    for key, value in second.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merge(merged[key], value) if both else value
    return merged


if __name__ == "__main__":
    main()
