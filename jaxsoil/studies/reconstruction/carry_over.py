"""Models that are to carry over to regions never seen, one region held out at a time, each part of them alone.

What a part gains is its paired difference to :data:`REFERENCE` over regions, with its standard error. Every test is
inductive: nothing of a held-out region is used, but in :func:`local_labels` and
:func:`jaxsoil.studies.reconstruction.additions.add_mix`, which say what they use.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from jaxsoil.data import splits
from jaxsoil.data.library import Library
from jaxsoil.evaluation import compare, metrics
from jaxsoil.evaluation.applicability import SpectralSpace
from jaxsoil.evaluation.results import log10_percent
from jaxsoil.runs.errors import UsageError, did_you_mean
from jaxsoil.runs.folder import RunFolder
from jaxsoil.runs.tracking import Silent, Tracker
from jaxsoil.studies.reconstruction import additions, baselines, local_networks, other_tests, summaries
from jaxsoil.studies.reconstruction.bundling import write_bundle
from jaxsoil.studies.reconstruction.config import CarryOverConfig
from jaxsoil.studies.reconstruction.prepare import StudyInputs, prepare_study
from jaxsoil.studies.reconstruction.run import plan_study, run_study, timed
from jaxsoil.studies.reconstruction.tables import Tables, read_main, read_predictions

REFERENCE = "plsr_absorbance"
"""What gains are gains over."""

MEASURES = ("ccc", "rmse", "abs_bias", "spread")
"""Of log10 SOC by region: concordance, error, size of the bias, and standard deviation of the error about it."""

LABELS = (0, 1, 3, 5, 10)
"""Numbers of local labels."""
LOCAL_DRAWS = 50
"""Random choices of local labels that are averaged."""
LEAST_ROWS = 6
"""Rows of a region from which on local labels are tried."""
SHRINKAGE = (0.2 / 0.15) ** 2
"""Variance of log10 SOC about a prediction within a region over that of regional biases: labels that count as much as
the prior that there is no bias. Both are round values of the first prototypes, not tuned."""


def prepare(config: CarryOverConfig) -> StudyInputs:
    """The data with one inductive split for each region that is held out.

    Raises:
      UsageError: an unknown region, or no PLSR on absorbance, which the others are compared with.
    """
    if REFERENCE not in config.baselines:
        raise UsageError(f"--baselines: name {REFERENCE} too, which the others are compared with.")

    def chosen(library: Library) -> list[splits.Split]:
        found = splits.region_out(library)
        names = [split.held_out for split in found]
        for name in config.held_out:
            if name not in names:
                raise UsageError(f"--held-out: no region is called '{name}'. {did_you_mean(name, names)}")
        return [split for split in found if not config.held_out or split.held_out in config.held_out]

    prepared = prepare_study(config, chosen)
    other_tests.check(config, prepared.library)
    return local_networks.prepared(config, prepared)


def plan(config: CarryOverConfig, prepared: StudyInputs) -> str:
    """Describes the fits; nothing is run."""
    regions = len(splits.region_out(prepared.library))
    pairs = additions.pairs_of(range(len(prepared.splits)), regions, config)
    networks = local_networks.trainings(config, len(prepared.splits), LABELS)
    parts = [plan_study(config, prepared), f"Transductive mix: {2 * len(pairs)} fits without two regions."]
    if networks:
        parts.append(f"Networks with local labels: at most {networks} trainings, most of them fine-tuning.")
    parts += [f"Property {name}: every model of absorbance again." for name in config.properties]
    return "\n".join(parts)


def run(config: CarryOverConfig, folder: RunFolder, prepared: StudyInputs) -> None:
    """Fits and writes the run folder, and a bundle of the models fitted on all regions."""
    more: list[Any] = [summaries.averages, summaries.model_differences, gains]
    more.append(functools.partial(other_tests.gains, reference=REFERENCE))
    more.append(functools.partial(local_labels, library=prepared.library))
    if config.moisture and prepared.library.truth is None:
        axis = prepared.library.spectra.axis
        more.append(functools.partial(other_tests.moisture, models=config.baselines, axis=axis))

    def also(tables: Tables, tracker: Tracker | Silent, timing: dict[str, float]) -> None:
        with timed(timing, additions.MIX):
            additions.add_mix(tables, config)
        with timed(timing, additions.METHOD):
            additions.add_method(tables, config)
        with timed(timing, "finetuned"):
            held_out = {split.held_out: np.flatnonzero(split.test) for split in tables.splits}
            choices = local_choices(folder.path, prepared.library, held_out)
            local_networks.add(tables, config, choices, LABELS)
            additions.add_latents(tables, config)
        with timed(timing, "properties"):
            other_tests.add(tables, config)

    run_study(config, folder, prepared, paper={}, summaries=more, also=also)
    write_bundle(config, folder, prepared)


def gains(folder: Path) -> dict[str, pd.DataFrame]:
    """gains.csv: each model's means over held-out regions, and its paired difference to :data:`REFERENCE`.

    Returns:
      Rows ``model, regions, metric, mean, se, gain, gain_se, better, n``: ``regions`` is "all" or "measured", those
      whose SOC is not modelled from spectra; ``metric`` one of :data:`MEASURES`; ``better`` in how many regions the
      model is ahead of the reference.
    """
    frame, modelled = read_main(folder), summaries.modelled_regions(folder)
    chosen = frame[
        (frame["split"] == "test") & (frame["scale"] == "log10") & frame["metric"].isin(["ccc", "rmse", "bias"])
    ]
    wide = chosen.pivot_table(index=["model", "region"], columns="metric", values="value", sort=False).reset_index()
    wide["abs_bias"] = wide["bias"].abs()
    wide["spread"] = np.sqrt(np.maximum(wide["rmse"] ** 2 - wide["bias"] ** 2, 0.0))
    rows = []
    for part, left_out in (("all", []), ("measured", modelled)):
        kept = pd.DataFrame(wide[~wide["region"].isin(left_out)]).set_index(["model", "region"])
        if not len(kept):
            continue
        for model, metric in itertools.product(dict.fromkeys(frame["model"]), MEASURES):
            by_model: Any = kept[metric]
            own, other = (by_model.xs(name, level="model") for name in (model, REFERENCE))
            gap = np.asarray(own - other.reindex(own.index), dtype=np.float64)
            better = int(np.sum(gap > 0.0 if metric == "ccc" else gap < 0.0))
            mean, se = float(own.mean()), compare.standard_error(own.to_numpy())
            rows.append(
                (model, part, metric, mean, se, float(gap.mean()), compare.standard_error(gap), better, gap.size)
            )
    columns = ["model", "regions", "metric", "mean", "se", "gain", "gain_se", "better", "n"]
    return {"gains": pd.DataFrame(rows, columns=pd.Index(columns))}


def local_choices(folder: Path, library: Library, held_out: Mapping[str, np.ndarray]) -> local_networks.Choices:
    """Which rows of a region get labels, the same for all models: random orders, and that of Kennard and Stone.
    ``held_out`` is region -> its rows; regions with fewer than :data:`LEAST_ROWS` and those whose SOC is modelled, by
    data.json of the folder, are left out."""
    spectra, found = baselines.seen(library, "snv"), {}
    for region in held_out.keys() - summaries.modelled_regions(folder):
        rows = held_out[region]
        if rows.size >= LEAST_ROWS:
            space = SpectralSpace.fit(spectra[rows])
            ordered = kennard_stone(space.scores(spectra[rows]), max(LABELS))
            rng = np.random.default_rng(0)
            found[region] = [rng.permutation(rows.size)[: max(LABELS)] for _ in range(LOCAL_DRAWS)], ordered
    return found


def local_labels(folder: Path, library: Library) -> dict[str, pd.DataFrame]:
    """local_labels.csv: what a few labels of the held-out region are worth, as an offset of log10 SOC or to fine-tune.

    Exposure: spectra and labels of the chosen rows; of Kennard-Stone and networks with a decoder also all spectra of
    the region. Scores are on all other rows of the region. The offset is the mean residual of the n labels times
    n / (n + :data:`SHRINKAGE`); networks of :mod:`~jaxsoil.studies.reconstruction.local_networks` are fine-tuned.

    Returns:
      Rows ``model, choice, labels, ccc, rmse, abs_bias, gain, gain_se, draws, regions``: ``choice`` is "random" (mean
      over :data:`LOCAL_DRAWS` choices), "random_few" (over the first ``draws`` of them, where networks are fine-tuned)
      or "kennard_stone"; means over the regions whose SOC is not modelled and that have :data:`LEAST_ROWS` rows and
      twice as many as labels. ``gain``: RMSE less that of the carry-over model with the same labels, paired by region.
    """
    held_out, networks = read_predictions(folder), local_networks.read(folder)
    place = {name: number for number, name in enumerate(library.ids.tolist())}
    by_region = {str(region): mine for region, mine in held_out.groupby("region", sort=False)}
    firsts = {region: mine[mine["model"] == mine["model"].iloc[0]] for region, mine in by_region.items()}
    rows = {region: np.array([place[name] for name in first["id"]]) for region, first in firsts.items()}
    choices, found = local_choices(folder, library, rows), []
    few = 1 + max((draw for _, _, choice, draw, _ in networks if choice == local_networks.FEW), default=-1)
    for region in [name for name in by_region if name in choices]:
        random, ordered = choices[region]
        drawn = {"random": random, "kennard_stone": [ordered], **({local_networks.FEW: random[:few]} if few else {})}
        counts = [number for number in LABELS if 2 * number <= rows[region].size]
        for model, own in by_region[region].groupby("model", sort=False):
            observed, predicted = log10_percent(own["observed"]), log10_percent(own["predicted"])
            for labels, (choice, orders) in itertools.product(counts, drawn.items()):
                values = [_with_offset(observed, predicted, one[:labels]) for one in orders]
                found.append((model, choice, labels, region, *np.mean(values, axis=0), len(orders)))
        observed = log10_percent(firsts[region]["observed"])
        for model in dict.fromkeys(name for name, where, *_ in networks if where == region):
            for labels, choice in itertools.product(counts, [one for one in drawn if one != "random"]):
                values = []
                for number, order in enumerate(drawn[choice]):
                    key = (model, region, choice, number, labels) if labels else (model, region, "none", 0, 0)
                    if key in networks:
                        values.append(_scored(observed, log10_percent(networks[key]), order[:labels]))
                if values:
                    found.append((model, choice, labels, region, *np.mean(values, axis=0), len(values)))
    return _local_means(found)


def _local_means(found: list[tuple[Any, ...]]) -> dict[str, pd.DataFrame]:
    """The means over regions of :func:`local_labels`."""
    keys, scores = ["model", "choice", "labels"], ["ccc", "rmse", "abs_bias"]
    frame = pd.DataFrame(found, columns=pd.Index([*keys, "region", *scores, "draws"]))
    if not len(frame):
        return {}
    ours: Any = frame[frame["model"] == "carry_over"].set_index(["choice", "labels", "region"])["rmse"]
    keyed: Any = frame[["choice", "labels", "region"]]
    same = ours.reindex(pd.MultiIndex.from_frame(keyed)).to_numpy()
    by: Any = frame.assign(gain=frame["rmse"].to_numpy() - same).groupby(keys, sort=False)
    means = by[[*scores, "gain"]].mean()
    means["gain_se"] = by["gain"].agg(lambda gaps: compare.standard_error(gaps.to_numpy()))
    return {"local_labels": means.assign(draws=by["draws"].max(), regions=by.size()).reset_index()}


def _with_offset(observed: np.ndarray, predicted: np.ndarray, labelled: np.ndarray) -> tuple[float, float, float]:
    """CCC, RMSE and size of the bias on the rows without a label, once the labels have moved the predictions."""
    residuals = (observed - predicted)[labelled]
    return _scored(observed, predicted + residuals.sum() / (labelled.size + SHRINKAGE), labelled)


def _scored(observed: np.ndarray, predicted: np.ndarray, labelled: np.ndarray) -> tuple[float, float, float]:
    """CCC, RMSE and size of the bias on the rows without a label."""
    rest = np.setdiff1d(np.arange(observed.size), labelled)
    scored = metrics.summary(observed[rest], predicted[rest])
    return scored["ccc"], scored["rmse"], abs(scored["bias"])


def kennard_stone(scores: np.ndarray, count: int) -> np.ndarray:
    """Rows (count,) that cover scores (n, q): first the one nearest to the mean, then always the one farthest from all
    before it (Kennard and Stone 1969, Technometrics 11, 137, started at the centre). All rows where there are fewer."""
    chosen = [int(np.argmin(np.square(scores - scores.mean(axis=0)).sum(axis=1)))]
    nearest = np.full(len(scores), np.inf)
    while len(chosen) < min(count, len(scores)):
        nearest = np.minimum(nearest, np.square(scores - scores[chosen[-1]]).sum(axis=1))
        nearest[chosen] = -1.0
        chosen.append(int(np.argmax(nearest)))
    return np.array(chosen)
