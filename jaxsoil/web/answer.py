"""What the page says of uploaded files: predictions, likeness, neighbours, drawings, refusals, the table to keep."""

from __future__ import annotations

import base64
import dataclasses
import re
from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from jaxsoil.bundle.bundle import prepared
from jaxsoil.bundle.describe import DISTANCES
from jaxsoil.bundle.networks import Network
from jaxsoil.bundle.predict import finished, predict, predict_files
from jaxsoil.report.tables import number as decimals
from jaxsoil.spectra.container import Spectra
from jaxsoil.web.drawing import Drawing, draw
from jaxsoil.web.uploads import Written, clean

if TYPE_CHECKING:
    from jaxsoil.bundle.bundle import Bundle

MOST_CARDS = 32
"""Samples that are shown with their spectrum and neighbours."""

MOST_ROWS = 500
"""Rows of a table on the page; the file to keep has all."""

_LONGEST_REASON = 600
_VALUES = ("property", "unit", "value", "low", "high", "region_low", "region_high")
_FORMULA = re.compile(r"[=+\-@](?![\d.]+\Z)")

ALARMS = {
    "distance": "far from the training spectra within their principal components",
    "residual": "its spectrum has features that the training spectra do not have",
    "neighbours": "no training spectrum is near it",
    "brightness": "as a whole it is darker, brighter or flatter than training spectra: check scale and white reference",
    "rebuilt": "the decoder cannot rebuild its spectrum",
    "value": "the prediction lies outside the middle 95 % of the training values",
    "interval": "the calibration has too little like it to give an interval",
}
"""What each flag says of a sample."""

LIMITS = DISTANCES | {"rebuilt": "RMSE of the decoder's reconstruction"}


@dataclasses.dataclass(frozen=True)
class Value:
    """A prediction of one property, as text."""

    name: str
    unit: str
    value: str
    low: str
    high: str
    region_low: str
    region_high: str


@dataclasses.dataclass(frozen=True)
class Sample:
    """A predicted sample.

    Attributes:
      number: from 1, in the order of the files.
      name, file: its id, and the file it came in.
      values: predictions.
      flags: names of the alarms that fire for any property; reasons: what they say.
      again: whether the laboratory should measure it; seen: whether it is one of the training spectra.
      limits: (what, value, limit, within) of each distance.
      neighbours: (name, distance) of the nearest training spectra.
      drawing: its spectrum, with what a decoder makes of it; None beyond :data:`MOST_CARDS` samples.
      rebuilt: what is to say of the reconstruction, "" where the bundle has no decoder.
    """

    number: int
    name: str
    file: str
    values: tuple[Value, ...]
    flags: tuple[str, ...]
    reasons: tuple[str, ...]
    again: bool
    seen: bool
    limits: tuple[tuple[str, str, str, bool], ...]
    neighbours: tuple[tuple[str, str], ...]
    drawing: Drawing | None
    rebuilt: str


@dataclasses.dataclass(frozen=True)
class Answer:
    """What came of the files of one request.

    Attributes:
      samples: at most :data:`MOST_ROWS`; predicted: how many there are.
      refused: (file, sample, reason), at most :data:`MOST_ROWS`; refusals: how many there are.
      questions: (file, what is odd about its bands).
      flagged, again: samples with an alarm, and samples for the laboratory.
      overview: the spectra of all cards in one panel, None for a single one.
      csv: the table as a ``data:`` URL.
    """

    samples: tuple[Sample, ...]
    predicted: int
    refused: tuple[tuple[str, str, str], ...]
    refusals: int
    questions: tuple[tuple[str, str], ...]
    flagged: int
    again: int
    overview: Drawing | None
    csv: str


def answer(
    bundle: Bundle, files: Written, *, model: str, level: float, quantity: str | None, unit: str | None
) -> Answer:
    """Predicts files that were uploaded; arguments and errors as of :func:`jaxsoil.bundle.predict.predict_files`."""
    said: dict[str, Any] = {"model": model, "level": level, "quantity": quantity, "unit": unit}
    found = predict_files(bundle, files.folder, keep=MOST_CARDS, **said)
    table: Any = finished(
        bundle, [found.table], [{"file": name, "id": "", "refused": why} for name, why in files.refused]
    )
    for name in ("file", "id", "refused"):
        table[name] = [clean(files.shown(str(text)), _LONGEST_REASON) for text in table[name]]
    good, bad = table[table["refused"] == ""], table[table["refused"] != ""]
    each = len(bundle.model(model).targets)
    count = len(good) // each
    seen = _seen(bundle, model, found.spectra)
    groups = (good.iloc[each * row : each * (row + 1)] for row in range(min(count, MOST_ROWS)))
    samples = tuple(_sample(bundle, row, group, seen) for row, group in enumerate(groups))
    flags, again = (good[name].to_numpy().reshape(count, each) for name in ("flags", "remeasure"))
    refused = bad[["file", "id", "refused"]].to_numpy()[:MOST_ROWS].tolist()
    return Answer(
        samples,
        count,
        tuple((file, name, why) for file, name, why in refused),
        len(bad),
        tuple((files.shown(file), question) for file, question in found.questions),
        int((flags != "").any(axis=1).sum()),
        int(again.astype(bool).any(axis=1).sum()),
        _overview(bundle, found.spectra, samples) if len(found.spectra) > 1 else None,
        csv_url(table),
    )


def warm(bundle: Bundle) -> None:
    """Compiles what a first request would wait for: the default model, the decoder, the search for neighbours."""
    slope = np.linspace(0.3, 0.4, bundle.axis.size, dtype=np.float32)[None]
    predict(bundle, Spectra(slope, bundle.axis, bundle.unit, bundle.quantity))
    _seen(bundle, bundle.default, slope)


@dataclasses.dataclass(frozen=True, eq=False)
class _Seen:
    """The spectra (k, m) of the cards, their nearest training spectra, and what a decoder makes of them (k, m)."""

    spectra: np.ndarray
    rows: np.ndarray
    distances: np.ndarray
    decoder: str
    rebuilt: np.ndarray | None


def _seen(bundle: Bundle, model: str, spectra: np.ndarray) -> _Seen:
    rows, distances = bundle.domain.nearest(prepared(spectra, ("absorbance", "snv"), bundle.quantity))
    name = _decoder(bundle, model)
    if not name or not len(spectra):
        return _Seen(spectra, rows, distances, "", None)
    decoder = bundle.models[name]
    assert isinstance(decoder.predictor, Network)
    rebuilt = decoder.predictor.rebuild(prepared(spectra, decoder.steps, bundle.quantity))
    # What is no number cannot be drawn.
    drawn = rebuilt is not None and bool(np.isfinite(rebuilt).all())
    return _Seen(spectra, rows, distances, name, rebuilt if drawn else None)


def _decoder(bundle: Bundle, model: str) -> str:
    """The model whose decoder rebuilds spectra: the one that predicts, else a physical one, else any; "" for none."""
    configs = {
        name: found.predictor.config["decoder"]
        for name, found in bundle.models.items()
        if isinstance(found.predictor, Network) and found.predictor.config["decoder"] != "none" and not found.steps
    }
    order = sorted(configs, key=lambda name: (name != model, not configs[name].startswith("physics")))
    return order[0] if order and bundle.quantity == "reflectance" else ""


def _sample(bundle: Bundle, row: int, group: pd.DataFrame, seen: _Seen) -> Sample:
    first = group.iloc[0]
    values = tuple(
        Value(str(p), str(u), *map(significant, (v, low, high, region_low, region_high)))
        for p, u, v, low, high, region_low, region_high in group[list(_VALUES)].to_numpy().tolist()
    )
    flags = tuple(dict.fromkeys(flag for text in group["flags"] for flag in text.split()))
    limits = tuple(
        (words, significant(first[name]), significant(first[f"{name}_limit"]), name not in flags)
        for name, words in LIMITS.items()
        if np.isfinite(float(first[name]))
    )
    known, name = bundle.domain.names, str(first["id"])
    has_card = row < len(seen.spectra)
    near = zip(seen.rows[row].tolist(), seen.distances[row].tolist(), strict=True) if has_card else ()
    return Sample(
        row + 1,
        name,
        str(first["file"]),
        values,
        flags,
        tuple(ALARMS[flag] for flag in flags),
        bool(group["remeasure"].any()),
        bool(first["seen"]),
        limits,
        tuple((f"row {n + 1}" if known is None else clean(str(known[n])), decimals(d)) for n, d in near),
        _drawing(bundle, row, name, seen) if has_card else None,
        _rebuilt(bundle, row, seen) if has_card else "",
    )


def _drawing(bundle: Bundle, row: int, name: str, seen: _Seen) -> Drawing:
    curves = [("measured", "measured", seen.spectra[row])]
    title = f"Spectrum of {name}, {bundle.axis[0]:g} to {bundle.axis[-1]:g} {bundle.unit}"
    if seen.rebuilt is not None:
        curves.append((f"rebuilt by {seen.decoder}", "rebuilt", seen.rebuilt[row]))
        title += f", with its reconstruction by the model {seen.decoder}"
    return draw(bundle.axis, bundle.unit, bundle.quantity, curves, title)


def _rebuilt(bundle: Bundle, row: int, seen: _Seen) -> str:
    if seen.rebuilt is None:
        return ""
    error = float(np.sqrt(np.mean(np.square(seen.rebuilt[row] - seen.spectra[row]))))
    limit = bundle.models[seen.decoder].rebuilt_limit
    text = f"The decoder of {seen.decoder} rebuilds the spectrum with an RMSE of {significant(error)}"
    if limit is None:
        return f"{text}."
    if error <= limit:
        return f"{text}, within its limit {significant(limit)}."
    return f"{text}, beyond its limit {significant(limit)}: to that model the soil is a strange one."


def _overview(bundle: Bundle, spectra: np.ndarray, samples: Sequence[Sample]) -> Drawing:
    looks = ["flagged" if sample.flags else "measured" for sample in samples[: len(spectra)]]
    labels = {"measured": "no alarm", "flagged": "an alarm fires"}
    # Each look once in the key; flagged ones last, and so on top.
    curves = [
        (labels.pop(look, ""), look, values)
        for look, values in sorted(zip(looks, spectra, strict=True), key=lambda pair: pair[0] == "flagged")
    ]
    return draw(bundle.axis, bundle.unit, bundle.quantity, curves, f"The spectra of the first {len(spectra)} samples")


def significant(value: object) -> str:
    """A number with three significant digits, written out; "–" where there is none."""
    number = float(str(value)) if value is not None else np.nan
    if np.isnan(number):
        return "–"
    if np.isinf(number):
        return "∞" if number > 0 else "−∞"
    return f"{Decimal(f'{number:.2e}'):f}".replace("-", "−")


def csv_url(table: pd.DataFrame) -> str:
    """A table as the file of :command:`jaxsoil predict`, in a ``data:`` URL.

    A text that a spreadsheet would run as a formula gets an apostrophe in front.
    """
    safe = table.copy()
    for name in ("file", "id", "refused"):
        safe[name] = [f"'{text}" if _FORMULA.match(text) else text for text in safe[name]]
    text = safe.to_csv(index=False, float_format="%.6g", lineterminator="\n")
    return "data:text/csv;charset=utf-8;base64," + base64.b64encode(text.encode("utf-8", "replace")).decode("ascii")
