"""Tables of the soc_spectrum report."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pandas as pd

from jaxsoil.report.files import where
from jaxsoil.report.tables import UNDEFINED, Table, number, plus_minus
from jaxsoil.studies.reconstruction.soc_spectrum.methods import METHODS
from jaxsoil.studies.reconstruction.soc_spectrum.report.files import (
    DIRECT_START,
    ESTIMATOR_LABELS,
    PAPER_START,
    TRUTH,
    SpectrumRun,
    source_label,
)
from jaxsoil.studies.reconstruction.soc_spectrum.report.networks import finite, marked
from jaxsoil.studies.reconstruction.soc_spectrum.sweep import FACTORS, over_seeds
from jaxsoil.studies.reconstruction.soc_spectrum.troughs import LITERATURE

PUBLISHED_RHO_R = (2.471, 0.132)
"""(rho r)_SOC of Coleman et al. (2024), Experiment 2, mg m-2 = g cm-3 nm, with its spread over 17 regions x 4 seeds."""

_MAIN = (TRUTH, "regions", PAPER_START, DIRECT_START)
_SHOWN_MINERALS = 10

AIMS = {"2000": (0.045, 0.98, 0.10), "8000": (0.015, 0.998, 0.08)}
"""Aims of the direct regression on the reference twin by number of samples: RMSE, cosine, error of c / c_bar."""

NULL_AIM = 0.008
"""Aim for the null twin with 8,000 samples: no trough deeper than this, reflectance."""


def estimates_table(run: SpectrumRun, source: str) -> Table:
    """(rho r), Munsell value and errors of every estimator, the published values below them."""
    rows = []
    truth = run.estimate(source, TRUTH)
    problems = []
    for estimator in (TRUTH, *METHODS):
        found = run.estimate(source, estimator)
        if found and found["problem"]:
            problems.append(f"{ESTIMATOR_LABELS[estimator]}: {found['problem']}")
        elif found:
            rows.append(_estimate_cells(found, estimator))
    for start in (PAPER_START, DIRECT_START):
        trials = run.trials(source, start)
        if trials:
            rows.append(_network_cells(trials, start))
    rows.append(("Paper, RaCA", plus_minus(*PUBLISHED_RHO_R, 3), "black", *[UNDEFINED] * 5))
    header = (
        "Estimator",
        "(ρr) of SOC ± SD (g cm-3 nm)",
        "Munsell value",
        "RMSE",
        "Cosine",
        "Error of c/c̄ (%)",
        "Error of c (%)",
        "Differs from direct (% of bands)",
    )
    notes = [
        "SD: over bootstrap resamples of pedons for the direct methods, over folds and seeds for the decoder, as "
        "printed for the paper.",
        "Differs: share of the bands in which a method and the direct regression differ beyond their paired 95 % "
        "bootstrap interval. With ln SOC held fixed, twins whose minerals do not follow SOC gave 2 to 27 %, twins "
        "with clay as SOC^0.3 66 to 94 %: a large share says that minerals (or water) follow SOC in these soils.",
        *problems,
    ]
    if truth:
        notes.insert(1, "c̄ expresses c in g cm-3 nm: our mean soil, not the twin's own; c/c̄ does not need it.")
    return Table(f"{source_label(source)}: f and c of SOC by estimator.", header, tuple(rows), tuple(notes))


def _estimate_cells(found: dict[str, Any], estimator: str) -> tuple[str, ...]:
    differs = found["disagreement"]
    return (
        ESTIMATOR_LABELS[estimator],
        plus_minus(found["soc_rho_r"], found["sd"], 3),
        number(found["munsell"], 1),
        number(found["rmse"], 4),
        number(found["cosine"], 4),
        number(100 * found["ratio_error"], 1),
        number(100 * found["c_error"], 1),
        number(100 * differs, 0),
    )


def _network_cells(trials: list[dict[str, Any]], start: str) -> tuple[str, ...]:
    def mean(name: str) -> float:
        values = finite(trials, name)
        return float(values.mean()) if values.size else np.nan

    c = finite(trials, "soc_rho_r")
    return (
        marked(ESTIMATOR_LABELS[start], trials),
        plus_minus(mean("soc_rho_r"), float(c.std(ddof=1)) if c.size > 1 else np.nan, 3),
        number(mean("munsell"), 1),
        number(mean("rmse"), 4),
        number(mean("cosine"), 4),
        number(100 * mean("ratio_error"), 1),
        number(100 * mean("c_error"), 1),
        UNDEFINED,
    )


def flat_cosine(run: SpectrumRun) -> float:
    """Cosine of a flat spectrum with the truth of the first source that has one."""
    curve = next(c for source in run.sources if (c := run.curve(source, TRUTH)) is not None)
    f_soc = curve["f_soc"]
    return float(f_soc.sum() / (np.linalg.norm(f_soc) * np.sqrt(f_soc.size)))


def lines_table(run: SpectrumRun) -> Table:
    """Depth of the trough nearest to each literature position, by source and estimator."""
    columns = [(source, estimator) for estimator in _MAIN for source in run.sources if _lines(run, source, estimator)]
    # The null twin's truth has no trough anywhere.
    columns = [column for column in columns if column != ("null", TRUTH)]
    rows = []
    for place, line in enumerate(LITERATURE):
        cells = [_line_cell(_lines(run, *column)[place]) for column in columns]
        rows.append((f"{line.position:g} ± {line.within:g}", line.what, *cells, line.source))
    short = {"troughs": "twin", "null": "null"}
    header = tuple(f"{ESTIMATOR_LABELS[estimator]}, {short.get(source, source)}" for source, estimator in columns)
    notes = (
        "Each cell: position in nm and depth in reflectance of the nearest trough; in brackets the share of bootstrap "
        "resamples (direct regression) or folds (decoder) that have one there.",
        "2500 nm is the end of the axis: a fall towards it counts as a trough, its far rim is unseen.",
    )
    return Table(
        "Troughs at the positions that the literature names.",
        ("Position (nm)", "What absorbs", *header, "Source"),
        tuple(rows),
        notes,
        left=(0, 1, -1),
    )


def _lines(run: SpectrumRun, source: str, estimator: str) -> list[dict[str, Any]]:
    return [row for row in run.lines if (row["source"], row["estimator"]) == (source, estimator)]


def _line_cell(row: dict[str, Any]) -> str:
    share = "" if np.isnan(row["presence"]) else f" [{100 * row['presence']:.0f} %]"
    if np.isnan(row["depth"]):
        return f"none{share}"
    return f"{row['position']:.0f}: {number(row['depth'], 3)}{share}"


def troughs_table(run: SpectrumRun) -> Table:
    """All troughs of each spectrum."""
    rows = []
    for source in run.sources:
        for estimator in (*_MAIN, *(name for name in METHODS if name not in _MAIN)):
            if run.curve(source, estimator) is None:
                continue
            found = [row for row in run.troughs if (row["source"], row["estimator"]) == (source, estimator)]
            listed = ", ".join(f"{row['position']:.0f} ({number(row['depth'], 3)})" for row in found)
            rows.append((source_label(source), ESTIMATOR_LABELS[estimator], listed or "none"))
    caption = "All troughs: position in nm (depth in reflectance). Decoders: of the mean over folds."
    return Table(caption, ("Data", "Estimator", "Troughs"), tuple(rows), left=(0, 1, 2))


def accuracy_table(frame: pd.DataFrame) -> Table:
    """Direct regression on reference twins with and without troughs, each seed and the mean, beside the aims."""
    rows = []
    for method in dict.fromkeys(frame["method"].tolist()):
        chosen, label = where(frame, method=method), METHODS[method].label
        for record in chosen.to_dict("records"):
            key = (source_label(record["factor"]), label, str(record["level"]), str(record["seed"]))
            rows.append((*key, *_accuracy_cells(record)))
        for record in over_seeds(chosen).to_dict("records"):
            key = (source_label(record["factor"]), label, record["level"], "mean")
            rows.append((*key, *_accuracy_cells(record)))
    header = (
        "Data",
        "Method",
        "Samples",
        "Seed",
        "RMSE",
        "Cosine",
        "Error of c/c̄ (%)",
        "Error of c (%)",
        "Deepest trough",
    )
    aims = [
        f"Aim with {int(size):,} samples, {'each seed' if size == '2000' else 'mean of the seeds'}: RMSE ≤ {rmse:g}, "
        f"cosine ≥ {cosine:g}, c within {100 * c:.0f} %."
        for size, (rmse, cosine, c) in AIMS.items()
    ]
    aims.append(f"Aim for the null twin with 8,000 samples: no trough deeper than {NULL_AIM:g}.")
    aims.append(f"The aims are set for the direct regression, '{METHODS['regions'].label}'.")
    return Table("Direct regression on reference twins.", header, tuple(rows), tuple(aims), left=(0, 1))


def _accuracy_cells(record: dict[Any, Any]) -> tuple[str, ...]:
    return (
        number(record["rmse"], 4),
        number(record["cosine"], 4),
        number(100 * record["ratio_error"], 1),
        number(100 * record["c_error"], 1),
        number(record["deepest"], 4),
    )


def robustness_table(frame: pd.DataFrame) -> Table:
    """RMSE, cosine and error of c / c_bar by method and exponent, means over seeds."""
    means = over_seeds(frame).to_dict("records")
    levels = list(dict.fromkeys(frame["level"].tolist()))
    rows = []
    for method in dict.fromkeys(frame["method"].tolist()):
        found = {row["level"]: row for row in means if row["method"] == method}
        rows.append((METHODS[method].label, *(_three(found[level]) for level in levels)))
    seeds = max(row["seeds"] for row in means)
    caption = (
        f"RMSE of f / cosine / error of c/c̄ in %, means of {seeds} seed{'s' if seeds > 1 else ''}, clay proportional "
        "to SOC^e."
    )
    return Table(caption, ("Method", *(f"e = {level}" for level in levels)), tuple(rows), _failures(frame))


def _three(row: dict[Any, Any]) -> str:
    return f"{number(row['rmse'], 3)} / {number(row['cosine'], 3)} / {number(100 * row['ratio_error'], 0)}"


def _failures(frame: pd.DataFrame) -> tuple[str, ...]:
    """Says how many estimates of each method met no gauge, if any."""
    counts = Counter(row["method"] for row in frame.to_dict("records") if row["problem"])
    return tuple(f"{METHODS[name].label}: {count} estimates failed and are left out." for name, count in counts.items())


def sweep_table(frame: pd.DataFrame) -> Table:
    """Means over seeds by factor and level, methods side by side."""
    means = over_seeds(frame).to_dict("records")
    methods = list(dict.fromkeys(frame["method"].tolist()))
    found = {(row["factor"], row["level"], row["method"]): row for row in means}
    rows = []
    for factor, level in dict.fromkeys((row["factor"], row["level"]) for row in means):
        label = FACTORS[factor].label if factor in FACTORS else factor
        rows.append((label, level, *(_three(found[factor, level, method]) for method in methods)))
    header = ("What is varied", "Level", *(METHODS[method].label for method in methods))
    notes = (
        "The reference twin has 2,000 samples, noise 0.01, no scatter, exact labels, darkness 0.037 and minerals that "
        "do not follow SOC.",
        "The mineral library enters the direct regression through nothing, the method with mineral features through "
        "the directions of their absorptions.",
        *_failures(frame),
    )
    caption = "RMSE of f / cosine / error of c/c̄ in %, means over seeds, one thing varied at a time."
    return Table(caption, header, tuple(rows), notes, left=(0, 1))


def abundance_table(run: SpectrumRun, source: str) -> Table:
    """Mean absolute errors of the most abundant minerals, of SOC, and the mean over all minerals."""
    rows_of = {}
    for row in run.abundances:
        if row["source"] == source:
            rows_of.setdefault(row["estimator"], {})[row["mineral"]] = row
    estimators = list(rows_of)
    means = {name: float(row["mean"]) for name, row in rows_of[TRUTH].items()}
    minerals = sorted((name for name in means if name != "SOC"), key=lambda name: -means[name])
    rows = []
    for name in [*minerals[:_SHOWN_MINERALS], "SOC"]:
        errors = (number(100 * rows_of[estimator][name]["error"], 2) for estimator in estimators)
        rows.append((name, number(100 * means[name], 2), *errors))
    overall = [np.mean([rows_of[e][name]["error"] for name in minerals]) for e in estimators]
    mean = float(np.mean([means[name] for name in minerals]))
    rows.append(
        (f"mean of {len(minerals)} minerals", number(100 * mean, 2), *(number(100 * float(v), 2) for v in overall))
    )
    header = ("Mineral", "True mean (%)", *(f"{ESTIMATOR_LABELS[e]} (%)" for e in estimators))
    notes = (
        "Spectra of at most 200 soils are unmixed by non-negative least squares with the true minerals and each "
        "estimator's f and c, without using the labels. The column of the truth is what noise alone does.",
        "The encoders' own are their outputs for the soils of the regions held out, means over the trials.",
        "Abundances hardly tell a right f from a wrong one: minerals of similar spectra (quartz, feldspar) are "
        "exchanged for each other under any of them.",
    )
    caption = f"{source_label(source)}: mean absolute error of mass fractions, in % by mass."
    return Table(caption, header, tuple(rows), notes)
