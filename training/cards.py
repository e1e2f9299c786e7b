"""Model cards: `models/README.md`, made from the manifest, the specs and the recorded measurements."""

import datetime
import json
from pathlib import Path

from app.runtime.device import Device
from app.runtime.model_store import ModelEntry, read_manifest
from app.runtime.session import OrtSession
from app.vision.spec import (
    AnchorFreeSpec,
    ComparedSpec,
    EmbedderSpec,
    FusionSpec,
    HeadSpec,
    LandmarkSpec,
    ModelSpec,
    ONetSpec,
    PNetSpec,
    RNetSpec,
)

METRICS = "metrics.json"
PROSE = Path(__file__).with_name("cards_prose")

_HEAD = """# Model cards

Made by `make models` from the specs inside the files, `manifest.json` and `metrics.json`; not edited by hand.
Every figure was printed by the command beside it.

| model | task | default | terms | files | size |
|---|---|---|---|---|---:|
"""


Figures = dict[str, dict[str, str]]
"""A model's rows by measure: value, command and date."""


def record(models: Path, model: str, values: dict[str, str], command: str) -> None:
    """Keeps measured figures, by measure, and writes the cards again.

    What the same kind of measurement (`python -m module subcommand`) recorded of the model before goes.
    """
    known = recorded(models)
    kind = command.split()[:4]
    kept = {k: row for k, row in known.get(model, {}).items() if row["command"].split()[:4] != kind}
    date = datetime.date.today().isoformat()
    new = {k: {"value": value, "command": command, "date": date} for k, value in values.items()}
    known[model] = kept | new
    draft = (models / METRICS).with_name(METRICS + ".part")
    draft.write_text(json.dumps(known, indent=2, sort_keys=True) + "\n")
    draft.replace(models / METRICS)
    (models / "README.md").write_text(render(models))


def recorded(models: Path) -> dict[str, Figures]:
    """Every recorded figure, by model."""
    path = models / METRICS
    return json.loads(path.read_text()) if path.exists() else {}


def render(models: Path) -> str:
    """The cards of every model in the manifest."""
    metrics = recorded(models)
    entries = read_manifest(models).models
    specs = {
        entry.name: [OrtSession(models / f.file, Device("cpu")).spec for f in entry.files]
        for entry in entries
    }
    rows = [
        f"| [{e.name}](#{e.name}) | {e.task} | {'yes' if e.default else ''} | {_terms(specs[e.name][0])} "
        f"| {len(e.files)} | {sum(f.bytes for f in e.files) / 1e6:.1f} MB |"
        for e in entries
    ]
    cards = [_card(entry, specs[entry.name], metrics.get(entry.name, {})) for entry in entries]
    return _HEAD + "\n".join(rows) + "\n\n" + "\n".join(cards)


def _terms(spec: ModelSpec) -> str:
    return "research only" if spec.research_only else f"free ({spec.licence})"


def _card(entry: ModelEntry, specs: list[ModelSpec], metrics: dict[str, dict[str, str]]) -> str:
    first = specs[0]
    limits = ", research only" if any(spec.research_only for spec in specs) else ""
    prose = PROSE / f"{entry.name}.md"
    lines = [f"## {entry.name}", ""]
    if prose.exists():
        lines += [prose.read_text().strip(), ""]
    lines += [
        f"- Task: {entry.task}{', the default' if entry.default else ''}",
        f"- Licence: {' AND '.join(dict.fromkeys(spec.licence for spec in specs))}{limits}",
        f"- Source: {'; '.join(dict.fromkeys(spec.source for spec in specs))}",
        *(f"- {line}" for spec in specs for line in _numbers(spec)),
        "",
        "| file | bytes | sha256 | source sha256 |",
        "|---|---:|---|---|",
        *(
            f"| `{f.file}` | {f.bytes} | `{f.sha256}` | `{spec.source_sha256}` |"
            for f, spec in zip(entry.files, specs, strict=True)
        ),
        "",
    ]
    if isinstance(first, ComparedSpec) and first.thresholds:
        lines += [
            f"Thresholds, calibrated on {first.calibrated_on}:",
            "",
            "| FAR | FRR | threshold |",
            "|---:|---:|---:|",
            *(f"| {c.far:g} | {1 - c.tar:.3f} | {c.threshold:.4f} |" for c in first.thresholds),
            "",
        ]
    if isinstance(first, ComparedSpec) and first.probability is not None:
        lines += [
            f"Probability of one person at similarity s, if half of all pairs are: sigmoid({_line(first)}).",
            "",
        ]
    if metrics:
        lines += ["| measured | figure | command | date |", "|---|---|---|---|"]
        lines += [
            f"| {name} | {row['value']} | `{row['command']}` | {row['date']} |"
            for name, row in sorted(metrics.items())
        ]
        lines.append("")
    return "\n".join(lines)


def _blend(spec: RNetSpec | ONetSpec) -> str:
    return "" if spec.box_blend == 1 else f"; weight of its box against the given one {spec.box_blend:g}"


def _curve(spec: ONetSpec) -> str:
    curve = spec.score_calibration
    if (curve.bias, curve.slope) == (0, 1):
        return ""
    return f"; score calibration: bias {curve.bias:+g}, slope {curve.slope:g} above a logit of {curve.knee:g}"


def _parts(spec: FusionSpec) -> list[str]:
    return [
        f"[{part}](#{part}){' with its mirrored crop averaged in' if flip else ''}"
        for part, flip in zip(spec.parts, spec.flip_average, strict=True)
    ]


def _line(spec: ComparedSpec) -> str:
    assert spec.probability is not None
    sign = "-" if spec.probability.offset < 0 else "+"
    return f"{spec.probability.slope:.3f} s {sign} {abs(spec.probability.offset):.3f}"


def _numbers(spec: ModelSpec) -> list[str]:
    match spec:
        case AnchorFreeSpec():
            return [
                f"Proposals: anchor-free, strides {', '.join(map(str, spec.strides))}; the smallest faces "
                f"are {spec.best_cell} pixels at the largest scale of {spec.best_pixels:,} at most, "
                f"else down to {spec.cell}; pyramid factor {spec.factor}, threshold {spec.threshold}, "
                f"NMS {spec.nms}, boxes voted from IoU {spec.vote}, at most {spec.max_candidates} candidates"
            ]
        case PNetSpec():
            return [
                f"P-Net: window {spec.window}, a face of {spec.cell} in it, stride {spec.stride}, pyramid "
                f"factor {spec.factor}, threshold {spec.threshold}, NMS {spec.nms_per_scale} per scale and "
                f"{spec.nms} over all, at most {spec.max_candidates} candidates"
            ]
        case RNetSpec():
            return [
                f"R-Net: input {spec.size}x{spec.size}x3, {spec.crop} of the box's side, threshold "
                f"{spec.threshold}, NMS {spec.nms}, at most {spec.max_candidates} candidates{_blend(spec)}"
            ]
        case ONetSpec():
            return [
                f"O-Net: input {spec.size}x{spec.size}x3, {spec.crop} of the box's side, default threshold "
                f"{spec.threshold}, NMS {spec.nms} ({spec.nms_metric}); score weights: proposals "
                f"{spec.score_weights.proposal:g}, R-Net {spec.score_weights.rnet:g}, O-Net 1"
                f"{_blend(spec)}{_curve(spec)}"
            ]
        case LandmarkSpec():
            return [f"Input {spec.size}x{spec.size}x3, template `{spec.template}`, points `{spec.scheme}`"]
        case EmbedderSpec():
            return [
                f"Input {spec.size}x{spec.size}x3, template `{spec.template}`, {spec.dimension} numbers, "
                f"{spec.metric} similarity, mirrored crop averaged in: {'yes' if spec.flip_average else 'no'}"
            ]
        case HeadSpec():
            return [f"Head: two answers of {spec.dimension} numbers in, a probability out"]
        case FusionSpec():
            return [
                f"Made of {' and '.join(_parts(spec))}: {spec.dimension} numbers, {spec.metric} similarity"
            ]
