"""The networks behind the product for other people's spectra, as a bundle.

A prediction is the mean over all folds' networks, as in the product. What is said of its accuracy, and the residuals
behind its intervals, come from laboratories that were held out: the case of a reader whose laboratory is a new one.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pandas as pd

from jaxsoil.bundle.bundle import FACTS, Bundle, Model, Target, forbidden, score_rows
from jaxsoil.bundle.networks import Convolutional
from jaxsoil.evaluation.domain import Domain, levels
from jaxsoil.evaluation.shift import Calibration
from jaxsoil.runs.folder import RunFolder
from jaxsoil.runs.pieces import Pieces
from jaxsoil.studies.hybrid.cross_fit import LABORATORY, RANDOM, CrossFit
from jaxsoil.studies.hybrid.fitting import CNN, model_fits
from jaxsoil.studies.hybrid.results import ALL

HELD_OUT = (
    "each laboratory was held out in turn, by networks that had not seen it; those here have seen all. Spectra of "
    "a new laboratory are not harmonised"
)


def write_bundle(folder: RunFolder, cross_fit: CrossFit, held: pd.DataFrame, results: pd.DataFrame) -> None:
    """Writes ``bundle`` into the run's folder, unless it is there or the spectra are not as an instrument gives them.

    Args:
      folder: of the run; its ``models`` hold the finished networks.
      cross_fit, results: the data and their folds; scores.
      held: predictions of rows that were held out.
    """
    target, data, library = folder.path / "bundle", cross_fit.data, cross_fit.data.library
    if (target / FACTS).exists() or library.spectra.quantity == "pretreated" or forbidden(library.licence, target):
        return
    pieces, members = Pieces(folder.path / "models"), {}
    for fit in model_fits(cross_fit):
        if (fit.held_out.scheme, fit.method, fit.model) == (RANDOM, cross_fit.method, CNN):
            piece = pieces.read(fit.name)
            if piece.facts["alive"]:
                members.setdefault(fit.target, []).append(dict(piece.trees))
    level = levels(library.spectra.to_absorbance().values)
    domain = Domain.fit(data.values, data.sample, names=library.ids, levels=level)
    scores = domain.space.scores(data.values)
    place = {str(name): row for row, name in enumerate(library.ids)}
    away = (held["scheme"] == LABORATORY) & (held["model"] == CNN) & (held["harmonisation"] == cross_fit.method)
    calibrations = {}
    for name in members:
        rows = held[away & (held["property"] == name)]
        if len(rows):
            at = [place[str(one)] for one in rows["id"]]
            pair = (rows["observed"], rows["predicted"])
            calibrations[name] = Calibration.of(*pair, rows["laboratory"], scores[at], "unit")
    ranges = (data.ranges[name] for name in members)
    limits = tuple((one.low, one.high, one.scale == "sqrt") for one in ranges)
    network = dataclasses.asdict(cross_fit.config.network) | {"dropout": 0.0}
    predictor = Convolutional(network, limits, tuple(map(tuple, members.values())))
    targets = tuple(Target.of(name, data.ranges[name].unit, data.observed(name), "unit") for name in members)
    model = Model(predictor, ("absorbance", "snv"), targets, calibrations, _scores(results, cross_fit))
    Bundle(
        name=f"{folder.experiment}-{library.name}",
        axis=library.spectra.axis,
        unit=library.spectra.unit,
        quantity=library.spectra.quantity,
        models={CNN: model},
        default=CNN,
        domain=domain,
        data={
            "name": library.name, "rows": len(data), "licence": library.licence,
            "notes": list(data.notes), "sha256": library.fingerprint(),
        },
        study={"experiment": folder.experiment, "command": folder.command, "held_out": HELD_OUT},
        twin=library.truth is not None,
    ).save(target)  # fmt: skip


def _scores(results: pd.DataFrame, cross_fit: CrossFit) -> tuple[dict[str, Any], ...]:
    """Scores of the networks by laboratory that was held out, and over all of them."""
    chosen = (results["model"] == CNN) & (results["harmonisation"] == cross_fit.method)
    chosen &= (results["split"] == LABORATORY) & results["metric"].isin(["ccc", "r2", "rmse", "bias"])
    keys = ["property", "split", "region", "scale", "metric", "value", "unit"]
    rows = results.loc[chosen, keys]
    rows = rows.assign(region=np.where(rows["region"] == ALL, "all laboratories", rows["region"]))
    return score_rows(rows)
