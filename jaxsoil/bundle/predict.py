"""Predictions with a bundle: of spectra in memory, and of instrument files into a table.

Every sample gets a value, an interval, what the alarms say, and whether the laboratory should measure it; one that
cannot be predicted gets the reason. No row stops another.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from jaxsoil.bundle.bundle import AGAIN, Bundle, Model, Target, prepared
from jaxsoil.data.readers import instruments
from jaxsoil.evaluation.domain import Judged, levels
from jaxsoil.evaluation.shift import intervals
from jaxsoil.runs.errors import DataError, intact
from jaxsoil.runs.threads import one_thread_each
from jaxsoil.spectra.container import Spectra

LEVEL = 0.9
"""Nominal coverage of the weighted intervals."""

BATCH = 30
"""Spectra from which on a classifier tells new soils from those of the calibration; fewer are told by their density."""

ROWS_AT_ONCE = 1024
"""Rows that are judged and predicted at a time."""

COLUMNS = (
    "file", "id", "property", "unit", "value", "low", "high", "region_low", "region_high", "applicable", "flags",
    "distance", "distance_limit", "residual", "residual_limit", "neighbours", "neighbours_limit", "brightness",
    "brightness_limit", "rebuilt", "rebuilt_limit", "remeasure", "seen", "refused", "warning",
)  # fmt: skip
"""Columns of a table of predictions."""


@dataclasses.dataclass(frozen=True, eq=False)
class Part:
    """What models and alarms make of some spectra.

    Attributes:
      values: (t, p) predictions in the units of the properties.
      rebuilt: (t,) reconstruction errors, None without a decoder.
      judged: distances of the domain, and the scores of which the weights of the intervals are taken.
    """

    values: np.ndarray
    rebuilt: np.ndarray | None
    judged: Judged


@one_thread_each()
def predict(
    bundle: Bundle,
    spectra: Spectra,
    ids: Sequence[str] | None = None,
    *,
    model: str | None = None,
    level: float = LEVEL,
) -> pd.DataFrame:
    """Predicts the properties of spectra.

    Args:
      bundle: models.
      spectra: (t, m) on any axis, in any unit and quantity that can be brought to the bundle's.
      ids: (t,) names of the rows; None: their numbers.
      model: name of the model; None takes the bundle's default.
      level: nominal coverage of ``low`` and ``high``.

    Returns:
      A row for each sample and property with the columns :data:`COLUMNS` but "file". ``low``, ``high``: interval
      weighted for the difference between these spectra and the calibration's. ``region_low``, ``region_high``: half
      width that covers most rows of a new region (:mod:`jaxsoil.evaluation.shift`), at most K / (K + 1) sure with K
      regions. ``flags``: alarms that fire. ``remeasure``: an alarm fires, or the interval is as wide as the range of
      the training values. ``seen``: the spectrum is one of the training spectra. ``refused``: why there is no value.

    Raises:
      DataError: spectra that cannot be brought to the bundle's axis and quantity, an unknown model.
    """
    names = [str(row) for row in range(len(spectra))] if ids is None else [str(name) for name in ids]
    chosen = bundle.model(model)
    good, reasons = usable(spectra)
    kept = np.flatnonzero(good)
    usable_ones = spectra if good.all() else spectra[kept]
    parts = [] if not kept.size else [run_part(bundle, chosen, converted(bundle, usable_ones))]
    frame = table(bundle, chosen, parts, [names[row] for row in kept], level)
    refused = [{"id": names[row], "refused": reason} for row, reason in reasons.items()]
    return finished(bundle, [frame], refused).drop(columns="file")


def usable(spectra: Spectra) -> tuple[np.ndarray, dict[int, str]]:
    """Which rows (t,) can be preprocessed, and why the others cannot, by row number."""
    reasons: dict[int, str] = {}
    lowest, highest = spectra.values.min(axis=1), spectra.values.max(axis=1)
    if spectra.quantity == "reflectance":
        for row in np.flatnonzero(lowest <= 0).tolist():
            reasons[row] = "a reflectance that is not positive has no absorbance"
    for row in np.flatnonzero(highest - lowest <= 1e-6 * np.maximum(np.abs(lowest), np.abs(highest))).tolist():
        reasons[row] = "the spectrum is flat: a failed scan or a fill value"
    good = np.ones(len(spectra), bool)
    good[list(reasons)] = False
    return good, reasons


def converted(bundle: Bundle, spectra: Spectra) -> Spectra:
    """The spectra on the bundle's axis, in its unit and quantity.

    Spectra are averaged over the bands of a coarser axis as reflectance, as composites are when they are trained on.

    Raises:
      DataError: the axis does not cover the bundle's, or the quantity is "pretreated".
    """
    spectra.require_quantity("reflectance", "absorbance")
    spectra = spectra.to_unit(bundle.unit)
    same = spectra.axis.size == bundle.axis.size and np.allclose(spectra.axis, bundle.axis, rtol=1e-6, atol=0.0)
    if not same:
        spectra = bundle.resample(spectra.to_reflectance())
    return spectra.to_reflectance() if bundle.quantity == "reflectance" else spectra.to_absorbance()


def run_part(bundle: Bundle, model: Model, spectra: Spectra) -> Part:
    """Values and distances of spectra on the bundle's axis, some rows at a time."""

    def part(start: int) -> Part:
        rows = spectra.values[start : start + ROWS_AT_ONCE]
        absorbance = prepared(rows, ("absorbance",), bundle.quantity)
        known = {("absorbance",): absorbance, ("absorbance", "snv"): prepared(absorbance, ("snv",), "absorbance")}
        own = known[model.steps] if model.steps in known else prepared(rows, model.steps, bundle.quantity)
        return Part(*model.predictor(own), bundle.domain.judge(known["absorbance", "snv"], levels(absorbance)))

    starts = range(0, len(spectra), ROWS_AT_ONCE)
    # A checksum that holds does not say that the parts of a forged bundle fit together.
    with (
        intact("a model does not fit its bundle", source=bundle.name, remedy=AGAIN),
        # Preprocessing and distances keep one core busy: another part's can be computed beside them.
        ThreadPoolExecutor(min(len(starts), os.cpu_count() or 1, 8)) as pool,
    ):
        return joined(list(pool.map(part, starts)))


def joined(parts: Sequence[Part]) -> Part:
    """Several parts as one."""
    if len(parts) == 1:
        return parts[0]
    fields = [field.name for field in dataclasses.fields(Judged)]
    judged = Judged(*(np.concatenate([getattr(part.judged, name) for part in parts]) for name in fields))
    rebuilt = [part.rebuilt for part in parts if part.rebuilt is not None]
    values = np.concatenate([part.values for part in parts])
    return Part(values, np.concatenate(rebuilt) if rebuilt else None, judged)


def table(
    bundle: Bundle, model: Model, parts: Sequence[Part], ids: Sequence[str], level: float, files: Sequence[str] = ()
) -> pd.DataFrame:
    """Rows of predictions; the weights of the intervals are those of all parts together."""
    if not parts:
        return pd.DataFrame(columns=list(COLUMNS))
    part = joined(parts)
    frames = [
        _of_target(bundle, model, target, part, number, level).assign(id=list(ids), file=list(files) or "")
        for number, target in enumerate(model.targets)
    ]
    order = np.argsort(np.tile(np.arange(len(ids)), len(frames)), kind="stable")
    return pd.concat(frames, ignore_index=True).iloc[order]


def _of_target(bundle: Bundle, model: Model, target: Target, part: Part, number: int, level: float) -> pd.DataFrame:
    values, judged = part.values[:, number], part.judged
    calibration = model.calibrations.get(target.name)
    low = high = region_low = region_high = np.full(len(values), np.nan)
    unbounded = np.zeros(len(values), bool)
    if calibration is not None:
        by = "classifier" if len(values) >= BATCH else "density"
        weighted = intervals(calibration, values, judged.scores, level, by)
        low, high, unbounded = weighted.low, weighted.high, weighted.unbounded
        if calibration.most >= 0.8:  # four regions or more
            region = intervals(calibration, values, judged.scores, min(level, calibration.most), "region")
            region_low, region_high = region.low, region.high
    alarms = alarms_of(bundle, model, part) | {"value": target.outside(values)}
    alarms |= {"interval": unbounded} if calibration else {}
    names = np.array(list(alarms))
    raised = np.stack(list(alarms.values()), axis=1)
    patterns, which = np.unique(raised, axis=0, return_inverse=True)
    flags = np.array([" ".join(names[row]) for row in patterns], dtype=object)[which.ravel()]
    flagged = raised.any(axis=1)
    vague = target.uninformative(low, high) if calibration else np.zeros(len(values), bool)
    columns: dict[str, Any] = {
        "property": target.name, "unit": target.unit, "value": values, "low": low, "high": high,
        "region_low": region_low, "region_high": region_high, "applicable": ~flagged, "flags": flags,
    }  # fmt: skip
    for name, limit in bundle.domain.limits.items():
        columns |= {name: getattr(judged, name), f"{name}_limit": limit}
    if part.rebuilt is not None:
        columns |= {"rebuilt": part.rebuilt, "rebuilt_limit": model.rebuilt_limit}
    return pd.DataFrame(columns | {"remeasure": flagged | vague, "seen": judged.seen})


def alarms_of(bundle: Bundle, model: Model, part: Part) -> dict[str, np.ndarray]:
    """Which spectra (t,) are beyond which limit."""
    found = {name: ~(getattr(part.judged, name) <= limit) for name, limit in bundle.domain.limits.items()}
    if part.rebuilt is not None and model.rebuilt_limit is not None:
        found["rebuilt"] = ~(part.rebuilt <= model.rebuilt_limit)
    return found


def finished(bundle: Bundle, frames: Sequence[pd.DataFrame], refused: Sequence[dict[str, str]]) -> pd.DataFrame:
    """All rows in the columns :data:`COLUMNS`, refused ones last, each with the warning of a synthetic model."""
    parts = [frame for frame in (*frames, pd.DataFrame(list(refused))) if len(frame)]
    whole = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
    whole = whole.reindex(columns=list(COLUMNS))
    whole["warning"] = bundle.warning
    for name in ("file", "flags", "refused"):
        whole[name] = whole[name].astype(object).fillna("")
    # A sample without a value is one for the laboratory.
    whole["remeasure"] = whole["remeasure"].astype(object).fillna(True).astype(bool)
    return whole


@dataclasses.dataclass(frozen=True, eq=False)
class Predictions:
    """What came of some files.

    Attributes:
      table: a row for each sample and property, and for each refusal (:data:`COLUMNS`).
      files: how many were read in whole or part; failed: how many could not be read at all.
      questions: (file, what is odd about its bands).
      spectra: (k, m) the first predicted samples as the bundle takes them, as many as were to be kept.
    """

    table: pd.DataFrame
    files: int
    failed: int
    questions: tuple[tuple[str, str], ...]
    spectra: np.ndarray

    @property
    def predicted(self) -> int:
        """Number of samples with a value."""
        return int(self.table.loc[self.table["refused"] == "", ["file", "id"]].drop_duplicates().shape[0])

    @property
    def refused(self) -> int:
        """Number of refusals: files or rows."""
        return int(np.sum(self.table["refused"].to_numpy() != ""))


@one_thread_each()
def predict_files(
    bundle: Bundle,
    paths: str | Path | Iterable[str | Path],
    *,
    model: str | None = None,
    level: float = LEVEL,
    quantity: str | None = None,
    unit: str | None = None,
    progress: bool = False,
    keep: int = 0,
) -> Predictions:
    """Predicts what lies in instrument files and folders (:mod:`jaxsoil.data.readers.instruments`).

    The files together count as the sample of new soils for which the intervals are weighted.

    Args:
      bundle, model, level: as in :func:`predict`.
      paths: files, folders, archives.
      quantity, unit: of the files, where they do not say it.
      progress: show a progress bar.
      keep: how many spectra to keep for whoever draws them.

    Raises:
      DataError: an unknown model. Files and rows that cannot be used become refusals.
    """
    from tqdm import tqdm

    chosen = bundle.model(model)
    parts, ids, files, refused, questions = [], [], [], [], []
    read = failed = 0
    first = np.empty((0, bundle.axis.size), np.float32)
    stream = instruments.readings(paths, quantity=quantity, unit=unit)
    for path, reading in tqdm(stream, desc="predict", unit="file", disable=not progress, leave=False):
        shown = str(path)
        try:
            if isinstance(reading, DataError):
                raise reading
            questions += [(shown, question) for question in instruments.bands.question(reading.spectra)]
            good, reasons = usable(reading.spectra)
            kept = np.flatnonzero(good)
            if kept.size:
                taken = converted(bundle, reading.spectra[kept])
                parts.append(run_part(bundle, chosen, taken))
                first = np.concatenate([first, taken.values[: keep - len(first)]])
                ids += [reading.ids[row] for row in kept]
                files += [shown] * kept.size
        except DataError as error:
            failed += 1
            refused.append({"file": shown, "id": "", "refused": str(error)})
            continue
        read += 1
        refused += [{"file": shown, "id": row.row, "refused": row.reason} for row in reading.refused]
        refused += [{"file": shown, "id": reading.ids[row], "refused": why} for row, why in reasons.items()]
    frame = table(bundle, chosen, parts, ids, level, files)
    return Predictions(finished(bundle, [frame], refused), read, failed, tuple(questions), first)
