"""Tables of the hybrid data set: beside the published numbers, by split, by laboratory, coverage, ranges.

From the abstract of the hybrid MIR data set: "C (R2 = 0.96, RMSE = 15.41 g/kg, MAE = 6.62 g/kg,
RPIQ = 1.38; prediction SD = 40.08 g/kg; 5,708 imputed samples)" and the same for OM. It states no split.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from jaxsoil.report.document import Item
from jaxsoil.report.prose import Prose
from jaxsoil.report.run_files import where
from jaxsoil.report.tables import Table, pivot_table, rows_table
from jaxsoil.studies.hybrid.report.files import KINDS, METHODS, MODELS, SCHEMES, HybridRun, column
from jaxsoil.studies.hybrid.results import FLAGGING, MEASURED, NORMAL_RATIO, PREDICTED, PRODUCT, PUBLISHED

PROSE = Prose("jaxsoil.studies.hybrid.report", "tables")
NAMES = {"n": "n", "r2": "R2", "rmse": "RMSE", "mae": "MAE", "bias": "Bias", "ccc": "CCC", "rpiq": "RPIQ"}
"""Metrics of the tables of scores, in order."""

COUNT = "{:,.0f}"
_FORMATS = {**dict.fromkeys(NAMES, 2), "n": COUNT, "n_outside": COUNT}
_HEADS = {
    "property": "Property", "split": "Split", "harmonisation": "Harmonisation", "model": "Model",
    "region": "Laboratory", "range": "Range", "used": "Used of the held-out part",
}  # fmt: skip


SOURCE = "abstract of the hybrid MIR data set (about 57,000 samples; C measured on 51,079, OM on 5,750)"


def _pivot(run: HybridRun, frame: pd.DataFrame, index: str, metrics: Mapping[str, str], **more: Any) -> Table:
    """A table of results: ``index`` names the columns of the rows' keys, with spaces; a column for each metric."""
    frame = pd.DataFrame(frame.loc[frame["metric"].isin([*metrics])])
    labels = {"property": run.axis, "split": SCHEMES, "harmonisation": METHODS, "metric": metrics}
    labels["model"] = MODELS | {MEASURED: "Measured", PREDICTED: "Imputed"}
    order = {**labels, "property": run.properties, "region": ["all", *run.laboratories]}
    order = {name: [key for key in keys if (frame[name] == key).any()] for name, keys in order.items()}
    given = {"fmt": _FORMATS, "labels": labels, "order": order, "columns": "metric", **more}
    return pivot_table(frame, {name: _HEADS[name] for name in index.split()}, given.pop("columns"), "value", **given)


def accuracy(run: HybridRun) -> tuple[Item, ...]:
    """The published numbers beside ours and why R2 and RPIQ differ so, where any is published; then all scores."""
    ours = run.numbers(split="random", property="carbon", model="cnn")
    carbon = PUBLISHED["carbon"]
    implied = where(run.tables["skew"], source="published").set_index("property")
    printed = [target for target in PUBLISHED if target in implied.index]
    text = PROSE.text("skew_text", p=carbon, implied=implied.loc["carbon"], ours=ours) if "carbon" in printed else None
    return published(run, implied) if printed else None, text, skew(run), splits(run)


def published(run: HybridRun, implied: pd.DataFrame) -> Table:
    """The abstract's numbers beside ours under both splits, with the SD that they imply by property."""
    columns: dict[Any, Any] = {
        "property": "Property", "source": "Source and split", "measured": ("Measured", COUNT),
        "imputed": ("Imputed", COUNT), "r2": ("R2", 2), "rmse": ("RMSE (g/kg)", 2), "mae": ("MAE (g/kg)", 2),
        "rpiq": ("RPIQ", 2), "prediction_sd": ("SD of predictions (g/kg)", 2), "sd": ("SD of measurements (g/kg)", 1),
    }  # fmt: skip
    lines = []
    for target in implied.index:
        own: dict[str, Any] = {"property": run.label(target)}
        printed = dataclasses.asdict(PUBLISHED[target]) | {"sd": implied.loc[target, "sd"]}
        lines.append(own | {"source": "published, split not stated", **printed})
        own |= {"measured": run.count(target, MEASURED), "imputed": run.count(target, PREDICTED)}
        own["prediction_sd"] = run.numbers(split=PRODUCT, property=target, model=PREDICTED)["sd"]
        for scheme in ("random", "laboratory"):
            if ours := run.numbers(split=scheme, property=target, model="cnn"):
                lines.append(ours | own | {"source": f"here, {SCHEMES[scheme]}"})
    notes = PROSE.notes("published", source=SOURCE, synthetic=run.data["synthetic"])
    title = "The published numbers beside ours (network behind the product)."
    return rows_table(pd.DataFrame(lines), columns, title=title, notes=notes)


def skew(run: HybridRun) -> Table:
    """Why a high R2 can go with a low RPIQ: standard deviation and quartiles measure different things."""
    found, sources = run.tables["skew"], {"published": "published", "here": "here, random folds"}
    names = [f"{run.label(one)}, {sources[of]}" for one, of in zip(found["property"], found["source"], strict=True)]
    columns: dict[Any, Any] = {
        "property": "Property", "r2": ("R2", 2), "rpiq": ("RPIQ", 2), "sd": ("SD", 1), "iqr": ("IQR", 1),
        "ratio": ("IQR / SD", 2), "normal": ("RPIQ of a normal law with this R2", 2),
        "lognormal": ("SD of log values", 2),
    }  # fmt: skip
    title = "R2 compares the error with the SD, RPIQ with the interquartile range."
    notes = PROSE.notes("skew", normal=NORMAL_RATIO)
    return rows_table(found.assign(property=names), columns, title=title, notes=notes)


def splits(run: HybridRun) -> Table:
    """Scores of all models under the harmonisation of the product, by split."""
    frame = run.rows(split=SCHEMES, model=("plsr", "cnn", "cnn-clipped"))
    notes = PROSE.notes("splits", members=run.settings["laboratory_members"])
    title = f"Scores by split; harmonisation: {METHODS[run.method]}."
    return _pivot(run, frame, "property split model", NAMES, title=title, notes=notes)


def short(run: HybridRun) -> Table:
    """R2 and RMSE of the network and of PLSR under the harmonisation of the product, by both splits."""
    frame = run.rows(split=("random", "laboratory"), model=("plsr", "cnn"))
    given = {"columns": ("split", "metric"), "heading": "{1}, {0}".format, "missing": "not run"}
    names = {name: NAMES[name] for name in ("r2", "rmse")}
    title = "Scores of values that the models did not see; RMSE in the unit of the property."
    return _pivot(run, frame, "property model", names, title=title, **given)


def harmonisations(run: HybridRun) -> Table:
    """Harmonisations under both splits."""
    frame = run.rows(split=("random", "laboratory"), model=("cnn", "plsr"), harmonisation="")
    exposure = run.data["laboratory_exposure"]
    used = np.where(frame["split"] == "random", "inductive", frame["harmonisation"].map(exposure))
    names = {name: NAMES[name] for name in ("r2", "rmse", "bias", "rpiq")}
    title, notes = "Harmonisation of the laboratories, compared.", PROSE.notes("harmonisations")
    index = "property split harmonisation model used"
    return _pivot(run, frame.assign(used=used), index, names, title=title, notes=notes)


def laboratories(run: HybridRun) -> Table:
    """The network on each laboratory that is held out."""
    frame = run.rows(split="laboratory", model="cnn", region=run.laboratories)
    title, notes = "Each laboratory held out in turn (network).", PROSE.notes("conventions")
    return _pivot(run, frame, "property region", NAMES, title=title, notes=notes)


def covered(run: HybridRun) -> list[dict[str, Any]]:
    """Coverage out of fold of each property at the nominal level of the table."""
    return where(_nominal(run)[0], kind="out of fold").to_dict("records")


def _nominal(run: HybridRun) -> tuple[pd.DataFrame, float]:
    """Coverages of all laboratories together at the level nearest to that of the table, and that level."""
    found = where(run.tables["coverage"], laboratory="all")
    level, wanted = column(found, "nominal"), float(run.settings["coverage"])
    nearest = float(level[np.argmin(np.abs(level - wanted))]) if level.size else wanted
    return where(found, nominal=nearest), nearest


def coverage(run: HybridRun) -> Table:
    """Coverage of the intervals at the nominal level of the table."""
    frame, nearest = _nominal(run)
    shares = {name: 100.0 * frame[name] for name in ("coverage", "lowest", "highest")}
    frame = frame.assign(**shares, off=100.0 * (frame["coverage"] - frame["nominal"]))
    columns: dict[Any, Any] = {
        "property": "Property", "kind": "Rows and calibration", "n": ("n", COUNT), "groups": ("Samples", COUNT),
        "coverage": ("Coverage (%)", 1), ("lowest", "highest"): ("95 % range (%)", "{:.1f} to {:.1f}"),
        "off": ("Off (points)", 1), "median_width": ("Median width", 1),
    }  # fmt: skip
    title = f"Coverage of the {100 * nearest:g} % intervals."
    notes = PROSE.notes("coverage", synthetic=run.data["synthetic"])
    return rows_table(frame, columns, title=title, labels={"property": run.axis}, notes=notes)


def ranges(run: HybridRun) -> Table:
    """Predictions outside the physical range before clipping, and what the two ways to keep it score."""
    frame = run.rows(split=("random", "laboratory"), model=MODELS)
    spans: Any = {t: f"{p['low']:g} to {p['high']:g} {run.unit(t)}".strip() for t, p in run.properties.items()}
    metrics = {"n_outside": "Outside before clipping", "n": "n", "rmse": "RMSE"}
    title = "Physical ranges: by construction, and by clipping alone."
    given = {"columns": ("split", "metric"), "heading": "{1}, {0}".format, "missing": "not run"}
    frame = frame.assign(range=frame["property"].map(spans))
    return _pivot(run, frame, "property range model", metrics, **given, title=title, notes=PROSE.notes("ranges"))


def counts(run: HybridRun) -> Table:
    """How many values of each property are measured and imputed, by laboratory."""
    frame = run.rows(split=PRODUCT, model=KINDS, region="")
    metrics = {"n": "number", "n_flagged": "flagged", "median": "median", "sd": "SD"}
    given = {"columns": ("model", "metric"), "heading": "{}: {}".format, "title": "Values by laboratory."}
    formats = {"n": COUNT, "n_flagged": COUNT, "median": 1, "sd": 1}
    return _pivot(run, frame, "property region", metrics, fmt=formats, **given)


def flags(run: HybridRun) -> Table:
    """Flags of all rows by property."""
    names = {
        "n": "Rows", "n_distance": "Beyond distance", "n_residual": "Beyond residual",
        "n_distance and residual": "Beyond both", "n_left_out": "Left out of training",
    }  # fmt: skip
    frame = run.rows(split=PRODUCT, model=FLAGGING, property=[*run.properties])
    title = "Flags of all rows, and measured rows that did not train in some fold."
    return _pivot(run, frame, "property", names, title=title, fmt=dict.fromkeys(names, COUNT))


def trainings(run: HybridRun) -> Table:
    """Convergence of the networks."""
    found = run.tables["networks"].groupby(["property", "model"], sort=False)
    frame = found.agg(
        networks=("model", "size"), converged=("converged", "sum"), alive=("alive", "sum"), first=("epochs", "min"),
        last=("epochs", "max"), fewest=("rows", "min"), most=("rows", "max"),
    ).reset_index()  # fmt: skip
    columns: dict[Any, Any] = {
        "property": "Property", "model": "Model", "networks": ("Networks", COUNT), "converged": ("Converged", COUNT),
        "diverged": ("Diverged", COUNT), ("first", "last"): ("Epochs", "{} to {}"),
        ("fewest", "most"): ("Training rows", "{:,} to {:,}"),
    }  # fmt: skip
    frame = frame.assign(diverged=frame["networks"] - frame["alive"])
    labels = {"property": run.label, "model": MODELS}
    notes = PROSE.notes("trainings", tolerance=run.settings["train"]["tolerance"])
    return rows_table(frame, columns, title="Trainings.", labels=labels, notes=notes)
