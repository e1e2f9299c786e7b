"""The specs of models: read from ONNX files, and described in words for the model cards."""

from pathlib import Path

import onnx

from app.vision.spec import (
    COSINE_KEY,
    METADATA_KEY,
    AnchorFreeSpec,
    EmbedderSpec,
    FloatCosine,
    FusionSpec,
    HeadSpec,
    LandmarkSpec,
    MeshSpec,
    ModelSpec,
    ONetSpec,
    PNetSpec,
    Probability,
    RNetSpec,
    parse,
)


def read_spec(path: Path) -> ModelSpec:
    """Return the spec of an ONNX file; faster than opening a session."""
    return parse(_metadata(path)[METADATA_KEY])


def read_cosine(path: Path) -> FloatCosine:
    """Return the cosines that the int8 file of an embedder states."""
    return FloatCosine.model_validate_json(_metadata(path)[COSINE_KEY])


def describe(spec: ModelSpec) -> str:
    """Return the settings of a net in one line."""
    match spec:
        case AnchorFreeSpec():
            return (
                f"Proposal net: anchor-free, strides {', '.join(map(str, spec.strides))}; side of the "
                f"smallest face at the largest scale {spec.best_cell} px, reduced to at least {spec.cell} px "
                f"if that scale has more than {spec.best_pixels:,} pixels; pyramid factor {spec.factor}, "
                f"threshold {spec.threshold}, NMS {spec.nms}, box voting from IoU {spec.vote}, "
                f"{_penalty(spec)}at most {spec.max_candidates} candidates"
            )
        case PNetSpec():
            return (
                f"P-Net: window {spec.window} px, face {spec.cell} px, stride {spec.stride} px, pyramid "
                f"factor {spec.factor}, threshold {spec.threshold}, NMS {spec.nms_per_scale} per scale and "
                f"{spec.nms} over all scales, at most {spec.max_candidates} candidates"
            )
        case RNetSpec():
            return (
                f"R-Net: {_crop(spec)}, threshold {spec.threshold}, NMS {spec.nms}, at most "
                f"{spec.max_candidates} candidates{_blend(spec)}"
            )
        case ONetSpec():
            return (
                f"O-Net: {_crop(spec)}, default threshold {spec.threshold}, NMS {spec.nms} "
                f"({spec.nms_metric}); score weights: proposal net {spec.score_weights.proposal:g}, R-Net "
                f"{spec.score_weights.rnet:g}, O-Net 1{_blend(spec)}{_score_calibration(spec)}"
            )
        case LandmarkSpec():
            return f"Input {spec.size}x{spec.size}x3, template `{spec.template}`, scheme `{spec.scheme}`"
        case MeshSpec():
            made = "its own" if spec.scheme == "mesh468" else "made of them"
            return (
                f"Input {spec.size}x{spec.size}x3, first crop by the template `{spec.template}`, second crop "
                f"{spec.extent:g} times the mesh, averaged with its mirror image; 468 points, scheme "
                f"`{spec.scheme}` ({made})"
            )
        case EmbedderSpec():
            return (
                f"Input {spec.size}x{spec.size}x3, template `{spec.template}`, {spec.dimension} dimensions, "
                f"similarity: {spec.metric}, flip averaging: {'yes' if spec.flip_average else 'no'}"
            )
        case HeadSpec():
            return f"Head: input two branch outputs of {spec.dimension} dimensions, output a probability"
        case FusionSpec():
            return (
                f"Fusion of {' and '.join(_parts(spec))}: {spec.dimension} dimensions, "
                f"similarity: {spec.metric}"
            )


def probability(curve: Probability) -> str:
    """Return the formula of the curve from a similarity s to a probability."""
    sign = "-" if curve.offset < 0 else "+"
    return f"sigmoid({curve.slope:.3f} s {sign} {abs(curve.offset):.3f})"


def _crop(spec: RNetSpec | ONetSpec) -> str:
    return f"input {spec.size}x{spec.size}x3, crop of {spec.crop} of the box side"


def _penalty(spec: AnchorFreeSpec) -> str:
    if not spec.coarse_penalty:
        return ""
    half, side = spec.coarse_side / 2, spec.coarse_side
    return (
        f"penalty in the logit after the first scale {spec.coarse_penalty:g} for faces below {half:g} px, "
        f"falling to 0 at {side:g} px, "
    )


def _blend(spec: RNetSpec | ONetSpec) -> str:
    return "" if spec.box_blend == 1 else f"; box blend {spec.box_blend:g}"


def _score_calibration(spec: ONetSpec) -> str:
    curve = spec.score_calibration
    if (curve.bias, curve.slope) == (0, 1):
        return ""
    return f"; score calibration: bias {curve.bias:+g}, slope {curve.slope:g} above a logit of {curve.knee:g}"


def _parts(spec: FusionSpec) -> list[str]:
    return [
        f"[{part}](#{part}){' with flip averaging' if flip else ''}"
        for part, flip in zip(spec.parts, spec.flip_average, strict=True)
    ]


def _metadata(path: Path) -> dict[str, str]:
    model = onnx.load(path, load_external_data=False)
    return {entry.key: entry.value for entry in model.metadata_props}
