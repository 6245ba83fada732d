"""What models saw and which SOC loss they had: in words, as a grid, and what the scores in % are scores of."""

from __future__ import annotations

from typing import Any, get_args

import pandas as pd

from jaxsoil.evaluation.results import CONVERGED, FITTED, over_regions
from jaxsoil.models.config import Input
from jaxsoil.report.document import Document
from jaxsoil.report.prose import Prose
from jaxsoil.report.run_files import where
from jaxsoil.report.tables import Table, natural_sorted, number, pivot_table
from jaxsoil.studies.reconstruction.config import SocLoss
from jaxsoil.studies.reconstruction.report.reading import Run, model_label
from jaxsoil.studies.reconstruction.tables import OWN

_PROSE = Prose(__package__, "settings", label=model_label)

INPUTS: dict[str, str] = {"reflectance": "reflectance", "absorbance": "absorbance", "snv": "SNV of absorbance"}
LOSSES: dict[str, str] = {"linear": "linear SOC", "proportional": "SOC, proportional sigma", "log": "log10 SOC"}


def settings_sentence(run: Run) -> str:
    """Which models saw what and had which loss; those with one setting are named together."""
    alike: dict[tuple[str, str], list[str]] = {}
    for model in run.models:
        mine = where(run.tables["trials"], model=model)
        if len(mine):
            alike.setdefault((str(mine["input"].iloc[0]), str(mine["loss"].iloc[0])), []).append(model_label(model))
    groups = [(names, INPUTS.get(what, what), LOSSES.get(loss, loss)) for (what, loss), names in alike.items()]
    return _PROSE.text("settings", groups=groups)


def scale_notes(run: Run) -> tuple[str, ...]:
    """What the scores on the two scales are scores of, with the median factor of each model of log10 SOC."""
    logs = where(run.tables["trials"], loss="log")
    found: Any = logs.groupby("model", sort=False)["smearing"].median()
    factors = [f"{model_label(model)} {number(found[model], 2)}" for model in run.models if model in found.index]
    return _PROSE.notes("scales", factors=factors) if factors else ()


def with_modelled_table(run: Run) -> list[Table]:
    """Means over regions with measured SOC beside those over all regions; nothing where no SOC is modelled."""
    if not run.modelled:
        return []
    parts = {"measured": run.measured, "all": run.regions}
    frames = []
    for name, regions in parts.items():
        rows = where(run.results, split="test", scale="log10")
        rows = pd.DataFrame(rows[rows["region"].isin(regions) & rows["metric"].isin(["ccc", "rmse"])])
        frames.append(where(over_regions(rows), seed="all").assign(regions_of=name))
    heads = {"measured": f"{len(parts['measured'])} regions, measured SOC", "all": f"all {len(parts['all'])} regions"}
    table = pivot_table(
        pd.concat(frames),
        "model",
        ("metric", "regions_of"),
        "mean",
        title="Means over regions without and with those whose SOC is modelled from spectra.",
        fmt={"ccc": 2, "rmse": 3},
        order={"model": run.models, "metric": ("ccc", "rmse"), "regions_of": tuple(parts)},
        labels={
            "model": model_label,
            "metric": {"ccc": "CCC (log10)", "rmse": "RMSE (log10 %)"},
            "regions_of": heads,
        },
        notes=_PROSE.notes("modelled", modelled=natural_sorted(set(run.modelled))),
    )
    return [table]


def grid_section(document: Document, run: Run) -> None:
    """Adds the grid of inputs and losses, a row for each model and input; nothing where each model has one setting."""
    test = where(run.grid, split="test")
    if not len(run.grid_trials) or not any(run.grid_trials["variant"].tolist()):
        return
    test = pd.DataFrame(test[test["region"].isin(run.measured)])
    status: dict[Any, set[str]] = {
        key: set(found["status"]) - {CONVERGED, FITTED} for key, found in run.grid_trials.groupby(["model", *OWN])
    }
    tables = []
    for scale, metric, name, digits in (("log10", "ccc", "CCC of log10 SOC", 2), ("percent", "rmse", "RMSE in %", 3)):
        means = where(over_regions(where(test, scale=scale, metric=metric), OWN), seed="all")
        keys = zip(*(means[key] for key in ("model", *OWN)), strict=True)
        tables.append(
            pivot_table(
                means.assign(doubtful=[bool(status.get(key)) for key in keys]),
                {"model": "Model", "input": "Input"},
                "loss",
                "mean",
                title=f"{name} by model, input and SOC loss, mean over {len(run.measured)} held-out regions.",
                fmt=digits,
                order={"model": run.models, "input": get_args(Input), "loss": get_args(SocLoss)},
                labels={"model": model_label, "input": INPUTS, "loss": LOSSES},
                marks={"mean": "doubtful"},
                notes=_PROSE.notes("grid", doubtful=any(status.values())),
            )
        )
    document.section("Grid of inputs and losses", _PROSE.text("grid_text"), *tables)
