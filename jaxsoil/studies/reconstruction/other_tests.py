"""Other tests of the models that are to carry over: other properties than SOC, and soils that are moist.

**Properties**, such as pH and clay, are fitted as they are, without logarithm.

**Moisture.** Models that know soils air-dry, on the same soils rewetted, samples left out in folds: the wet spectra of
a sample are predicted by models that saw neither its dry nor its wet spectra. Models see dry spectra alone, but for
``epo_measured``, external parameter orthogonalisation by the measured differences between wet and dry spectra of the
training samples, as it is used in the field (Minasny et al. 2011, Geoderma 167-168, 118).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from jaxsoil.data import registry
from jaxsoil.data.draws import group_folds
from jaxsoil.data.library import Library
from jaxsoil.evaluation import compare, metrics
from jaxsoil.models import invariance, plsr
from jaxsoil.runs.errors import DataError, UsageError, did_you_mean
from jaxsoil.runs.files import write_csv
from jaxsoil.runs.pieces import Piece, Pieces
from jaxsoil.runs.tables import Columns, read_csv
from jaxsoil.spectra.resample import Resample
from jaxsoil.studies.reconstruction import baselines, family
from jaxsoil.studies.reconstruction.config import FAMILY, CarryOverConfig
from jaxsoil.studies.reconstruction.tables import Tables
from jaxsoil.studies.reconstruction.train import side_by_side

UNIT = 0.3
"""Standard deviation that a property is scaled to while it is fitted, some that of log10 SOC: the processes' priors of
noise and offsets are stated in that unit."""
LEAST = 10
"""Labelled rows from which on a region is held out, and trains."""
MEASURES = ("ccc", "rmse", "abs_bias")


def check(config: CarryOverConfig, library: Library) -> None:
    """Raises UsageError for a property that the data do not have, or have in fewer than three regions."""
    for name in config.properties:
        if name == "soc" or name not in library.properties:
            raise UsageError(f"--properties {name}: the data have none. {did_you_mean(name, library.properties)}")
        found = len(_regions(library, name))
        if found < 3:
            raise UsageError(f"--properties {name}: {found} regions have {LEAST} labels; name one with three or more.")


def add(tables: Tables, config: CarryOverConfig) -> None:
    """Writes properties.csv, scores by property, model and held-out region: nothing where none was asked for.

    Rows ``property, unit, model, region, ccc, rmse, bias, n``, in the property's unit. Fits leave a file each, which a
    resumed run reads.
    """
    if not config.properties:
        return
    library, rows = tables.library, []
    spectra = baselines.seen(library, "absorbance")
    for name in config.properties:
        values = library.property(name).values
        for model in [one for one in config.baselines if one in FAMILY]:
            regions = _regions(library, name)
            calls = [functools.partial(_predicted, tables, spectra, name, model, region) for region in regions]
            for region, predicted in zip(regions, side_by_side(calls), strict=True):
                test = _labelled(library, name) & (library.group("region") == region)
                scored = metrics.summary(values[test], predicted)
                found = (scored["ccc"], scored["rmse"], scored["bias"], int(test.sum()))
                rows.append((name, library.property(name).unit, model, region, *found))
    columns = ["property", "unit", "model", "region", "ccc", "rmse", "bias", "n"]
    frame = pd.DataFrame(rows, columns=pd.Index(columns))
    write_csv(tables.run.path / "properties.csv", frame)


def gains(folder: Path, reference: str) -> dict[str, pd.DataFrame]:
    """property_gains.csv: means over held-out regions, and paired differences to the model ``reference``.

    Returns:
      Rows ``property, unit, model, metric, mean, gain, gain_se, n``; nothing where no other property was asked for.
    """
    path = folder / "properties.csv"
    if not path.exists():
        return {}
    frame = read_csv(path, Columns("property unit model region", "ccc rmse bias"))
    frame["abs_bias"] = frame["bias"].abs()
    rows = []
    by_property: Any = frame.groupby(["property", "unit"], sort=False)
    for (name, unit), mine in by_property:
        for metric in MEASURES:
            wide: Any = mine.pivot_table(index="region", columns="model", values=metric, sort=False)
            for model in dict.fromkeys(mine["model"]):
                gap = (wide[model] - wide[reference]).to_numpy()
                mean, se = float(wide[model].mean()), compare.standard_error(gap)
                rows.append((name, unit, model, metric, mean, float(gap.mean()), se, gap.size))
    columns = ["property", "unit", "model", "metric", "mean", "gain", "gain_se", "n"]
    return {"property_gains": pd.DataFrame(rows, columns=pd.Index(columns))}


def _labelled(library: Library, name: str) -> np.ndarray:
    """Rows (n,) with the property."""
    return np.isfinite(library.property(name).values)


def _regions(library: Library, name: str) -> list[str]:
    """Regions with enough labels."""
    found, counts = np.unique(library.group("region")[_labelled(library, name)], return_counts=True)
    return found[counts >= LEAST].tolist()


def _predicted(tables: Tables, spectra: np.ndarray, name: str, model: str, region: str) -> np.ndarray:
    """The property in the labelled rows of a region, by a model of the other regions."""
    library, label = tables.library, f"property/{name}/{model}/{region}"

    def fit() -> Piece:
        labelled, regions = _labelled(library, name), library.group("region")
        train = labelled & (regions != region) & np.isin(regions, _regions(library, name))
        values = library.property(name).values[train]
        mean, unit = float(values.mean()), max(float(values.std()), 1e-9) / UNIT
        x, y = spectra[train].astype(np.float64), (values - mean) / unit
        if model in family.PARTS:
            found = family.fit(model, x, y, regions[train], library.spectra.axis, np.empty(0, int))
        else:
            found = plsr.fit(x, y)
        test = labelled & (regions == region)
        return Piece({"predicted": mean + unit * found.predict(spectra[test])})

    pieces = Pieces(tables.run.path / "trials")
    return pieces.get(label.replace("/", "-"), fit, identity=label).arrays["predicted"]


DATA = "geeves_moisture"
DRY = "air_dry"
FOLDS = 10
FIELD_MOIST = 0.15
"""Water per mass of dry soil, standard deviation, of the models whose names end with "_moist": a soil in the field has
some 0.05 to 0.3. The default of the perturbations, 0.02, is the water of air-dry soil."""


def moisture(folder: Path, models: Sequence[str], axis: np.ndarray) -> dict[str, pd.DataFrame]:
    """moisture.csv: RMSE, bias and CCC of log10 SOC by model and moisture state (``folder`` is not read).

    Returns:
      Rows ``model, state, ccc, rmse, bias, n`` of the baselines ``models`` on ``axis`` (m,) nm, those with a penalty
      with the default and with field moisture; nothing where JAXSOIL_DATA has no such data, or on another axis.
    """
    try:
        soils = registry.load(DATA)
        reflectance = soils.spectra.to_reflectance()
        absorbance = Resample(axis)(reflectance).to_absorbance().values
    except DataError:
        return {}
    x = absorbance.astype(np.float64)
    state = np.array([name.rsplit("-", 1)[1] for name in soils.ids.tolist()])
    sample = soils.group("sample")
    y = np.log10(soils.property("soc").values)
    fold = group_folds(sample, FOLDS, np.random.default_rng(0))

    def predicted_of(train: np.ndarray, test: np.ndarray) -> dict[str, np.ndarray]:
        """log10 SOC of the test rows by each model, fitted on the dry rows of ``train``."""
        dry = np.flatnonzero(train & (state == DRY))
        found = {"plsr_absorbance": plsr.fit(x[dry], y[dry]).predict(x[test])}
        region, none = np.zeros(dry.size, int), np.empty(0, int)
        moist = invariance.Strengths(moisture=FIELD_MOIST)
        for name in [one for one in models if one in ("epo", "ridge", "ridge_both", "process", "carry_over")]:
            for ending, strengths in {"": None, "_moist": moist}.items():
                if name not in ("ridge", "process") or not ending:
                    model = family.fit(name, x[dry], y[dry], region, axis, none, strengths)
                    found[name + ending] = model.predict(x[test])
        first = {sample[row]: row for row in dry}
        wet = [row for row in np.flatnonzero(train & (state != DRY)) if sample[row] in first]
        moved = x[wet] - x[[first[sample[row]] for row in wet]]
        kept = invariance.orthogonal(moved.T @ moved, family.EPO_COMPONENTS)
        found["epo_measured"] = plsr.fit(x[dry] @ kept, y[dry]).predict(x[test] @ kept)
        return found

    predicted: dict[str, np.ndarray] = {}
    for number in range(FOLDS):
        for name, found in predicted_of(fold != number, fold == number).items():
            predicted.setdefault(name, np.full(y.size, np.nan))[fold == number] = found
    rows = []
    for name, found in predicted.items():
        for one in dict.fromkeys(state.tolist()):
            mine = state == one
            scored = metrics.summary(y[mine], found[mine])
            rows.append((name, one, scored["ccc"], scored["rmse"], scored["bias"], int(mine.sum())))
    return {"moisture": pd.DataFrame(rows, columns=pd.Index(["model", "state", "ccc", "rmse", "bias", "n"]))}
