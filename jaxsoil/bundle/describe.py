"""What a bundle is, in words: the card beside it and the answer of ``jaxsoil describe``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jaxsoil.bundle.bundle import Bundle, Model

METRICS = {"ccc": "CCC", "r2": "R2", "rmse": "RMSE", "bias": "bias"}
"""Metrics on the card, in this order."""

DISTANCES = {
    "distance": "Mahalanobis distance in the principal components",
    "residual": "RMSE off the principal components",
    "neighbours": "distance to the nearest training spectra",
    "brightness": "distance of the mean and the contrast of absorbance, which the other three do not see",
}


def describe(bundle: Bundle) -> str:
    """The bundle as text: what it takes and predicts, how good it was on held-out data, what it was made from."""
    return "\n".join(_lines(bundle))


def card(bundle: Bundle) -> str:
    """The same as a Markdown page."""
    title, *rest = _lines(bundle)
    marked = []
    for line in rest:
        if line.endswith(":") and not line.startswith(" "):
            marked.append(f"## {line[:-1]}\n")
        else:
            indent = (len(line) - len(line.lstrip())) // 2
            marked.append("  " * (indent - 1) + f"- {line.strip()}" if indent else line)
    return "\n".join([f"# {title}", *marked]) + "\n"


def _lines(bundle: Bundle) -> Iterator[str]:
    data, study, limits = bundle.data, bundle.study, bundle.domain.limits
    yield f"Bundle {bundle.name}"
    if bundle.warning:
        yield ""
        yield bundle.warning
    yield ""
    yield "Input:"
    span = f"{bundle.axis[0]:g} to {bundle.axis[-1]:g} {bundle.unit}"
    yield f"  {bundle.quantity} at {bundle.axis.size} bands, {span}"
    yield "  other axes that cover these bands, and reflectance or absorbance, are converted"
    for name, model in bundle.models.items():
        chosen = " (predicts unless another is named)" if name == bundle.default else ""
        yield ""
        yield f"Model {name}{chosen}:"
        yield from _model_lines(model)
    yield ""
    yield "Domain (a sample beyond a limit is flagged):"
    for name in limits:
        yield f"  {name}: {DISTANCES[name]}, limit {limits[name]:.4g}"
    if "brightness" not in limits:
        yield "  brightness: not known to this bundle, which an earlier version wrote; its study run again has it"
    yield "  value: a prediction outside the middle 95 % of the training values"
    yield ""
    yield "Made from:"
    yield f"  data: {data.get('name')}, {data.get('rows')} spectra"
    yield f"  licence: {data.get('licence') or 'none stated'}"
    yield f"  study: {study.get('command')}"
    if study.get("held_out"):
        yield f"  scores and intervals: {study['held_out']}"
    yield "  software: " + ", ".join(f"{name} {version}" for name, version in bundle.software.items())
    for note in data.get("notes", ()):
        yield f"  {note}"


def _model_lines(model: Model) -> Iterator[str]:
    steps = ", ".join(model.steps) or "none"
    yield f"  {model.predictor.kind}; preprocessing: {steps}"
    if model.rebuilt_limit is not None:
        yield f"  reconstruction error (RMSE of reflectance), limit {model.rebuilt_limit:.4g}"
    for target in model.targets:
        found = model.calibrations.get(target.name)
        rests = (
            f"intervals from {len(found.residuals)} held-out rows" if found else "no intervals: nothing was held out"
        )
        yield f"  {target.name} in {target.unit}: training values {target.low:.3g} to {target.high:.3g} (95 %); {rests}"
        rows = [row for row in model.scores if row["property"] == target.name]
        for scale in dict.fromkeys(row["scale"] for row in rows):
            for region in dict.fromkeys(row["region"] for row in rows):
                found_rows = {r["metric"]: r["value"] for r in rows if r["scale"] == scale and r["region"] == region}
                words = ", ".join(f"{METRICS[m]} {found_rows[m]:.3f}" for m in METRICS if m in found_rows)
                if words:
                    yield f"    held out, {region} ({scale}): {words}"
