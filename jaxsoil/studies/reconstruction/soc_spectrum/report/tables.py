"""Tables of the soc_spectrum report."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import pandas as pd

from jaxsoil.evaluation.results import CONVERGED
from jaxsoil.report.prose import Prose
from jaxsoil.report.tables import DAGGER, UNDEFINED, Format, Table, number, percent, pivot_table, plus_minus, rows_table
from jaxsoil.studies.reconstruction.soc_spectrum.appearance import LITERATURE
from jaxsoil.studies.reconstruction.soc_spectrum.config import FACTORS
from jaxsoil.studies.reconstruction.soc_spectrum.methods import METHODS
from jaxsoil.studies.reconstruction.soc_spectrum.report import files
from jaxsoil.studies.reconstruction.soc_spectrum.tables import FLAT, MINERALS, PUBLISHED_RHO_R

SHORT = "‡"
"""Marks trainings that ended before Adam could have reached the truth."""

AIMS = {"2000": (0.045, 0.98, 0.10), "8000": (0.015, 0.998, 0.08)}
"""Aims of the direct regression on the reference twin by number of samples: RMSE, cosine, error of c / c_bar."""

NULL_AIM = 0.008
"""Aim for the null twin with 8,000 samples: no trough deeper than this, reflectance."""

_PROSE = Prose(__package__, "tables", DAGGER=DAGGER, SHORT=SHORT)
_MAIN = (files.TRUTH, "regions", files.PAPER_START, files.DIRECT_START)
_SHOWN_MINERALS = 10
_METHOD_LABELS = {name: method.label for name, method in METHODS.items()}


_SCORES: dict[str, tuple[str, Format]] = {
    "soc_rho_r": ("(ρr) of SOC (g cm-3 nm)", 3),
    "munsell": ("Munsell value", 1),
    "rmse": ("RMSE of f", 4),
    "cosine": ("Cosine", 4),
    "ratio_error": ("Error of c/c̄ (%)", percent),
    "c_error": ("Error of c (%)", percent),
    "deepest": ("Deepest trough", 3),
    "r2": ("R2 of SOC", 2),
    "mrmse": ("MRMSE (%)", 2),
}


def _scores(names: str) -> dict[str | tuple[str, ...], str | tuple[str, Format]]:
    return {name: _SCORES[name] for name in names.split()}


def estimates_table(run: files.SpectrumRun, source: str) -> Table:
    """(rho r), Munsell value and errors of every estimator, the published values below them."""
    rows = run.rows("estimates", source=source)
    labels = files.ESTIMATOR_LABELS | {
        start: marked(files.ESTIMATOR_LABELS[start], run.rows("networks", source=source, start=start))
        for start in (files.PAPER_START, files.DIRECT_START)
    }
    failed = rows[rows["problem"] != ""]
    reasons = [(labels[name], why) for name, why in zip(failed["estimator"], failed["problem"], strict=True)]
    table = rows_table(
        pd.DataFrame(rows[(rows["problem"] == "") & (rows["estimator"] != FLAT)]),
        {"estimator": "Estimator", ("soc_rho_r", "sd"): ("(ρr) of SOC ± SD (g cm-3 nm)", 3)}
        | _scores("munsell rmse cosine ratio_error c_error")
        | {"disagreement": ("Differs from direct (% of bands)", functools.partial(percent, digits=0))},
        title=f"{files.source_label(source)}: f and c of SOC by estimator.",
        labels={"estimator": labels},
        notes=_PROSE.notes("estimates", truth=files.TRUTH in set(rows["estimator"]), failed=reasons),
    )
    published = ("Paper, RaCA", plus_minus(*PUBLISHED_RHO_R, 3), "black", *[UNDEFINED] * 5)
    return dataclasses.replace(table, rows=(*table.rows, published))


def networks_table(run: files.SpectrumRun, source: str) -> Table:
    """One row for each trial of the decoder."""
    trials = run.rows("networks", source=source)
    learned = run.arrays["learned"]
    starts = learned["start_rho_r"][learned["source"] == source]
    differences = run.rows("differences", source=source).to_dict("records")
    notes = (*_mark_notes(trials), *_PROSE.notes("networks", start=float(starts[0]), differences=differences))
    return rows_table(
        _with_marks(trials),
        {"start": "Start", "region": "Held out", "seed": ("Seed", "{}")}
        | _scores("soc_rho_r munsell rmse cosine c_error deepest r2 mrmse"),
        title=f"{files.source_label(source)}: trainings of the decoder.",
        notes=notes,
    )


def reach_table(run: files.SpectrumRun) -> Table:
    """How far Adam could move the decoder's parameters, beside how far it did and how far the truth was."""
    direct = run.rows("estimates", estimator="regions", problem="")
    with_truth = set(run.rows("estimates", estimator=files.TRUTH)["source"])
    unknown = [
        (files.source_label(source), moved)
        for source, moved in zip(direct["source"], direct["moved"], strict=True)
        if source not in with_truth
    ]
    reach = run.tables["reach"]
    keys = zip(reach["source"], reach["start"], strict=True)
    names = [marked(files.ESTIMATOR_LABELS[start], run.rows("networks", source=of, start=start)) for of, start in keys]
    headings = {
        "kept": "Epochs",
        "reach": "Reach",
        "moved_c": "c moved",
        "distance_c": "c to the truth",
        "moved_f": "f moved, at most",
        "distance_f": "f to the truth, at most",
    }
    return pivot_table(
        reach.assign(start=names),
        {"source": "Data", "start": "Start"},
        "measure",
        ("least", "greatest"),
        title="How far the trainings could go.",
        fmt={name: _span(0 if name == "kept" else 3) for name in headings},
        order={"measure": headings},
        labels={"source": files.source_label, "measure": headings},
        notes=(*_PROSE.notes("reach", unknown=unknown), *_mark_notes(run.tables["networks"])),
    )


def _span(digits: int) -> Callable[[float, float], str]:
    def text(least: float, greatest: float) -> str:
        low, high = number(least, digits), number(greatest, digits)
        return low if low == high else f"{low} to {high}"

    return text


def libraries_table(run: files.SpectrumRun) -> Table:
    """Both starts of the decoder with a right and with wrong mineral libraries."""
    trials = run.tables["libraries"]
    regions = list(dict.fromkeys(trials["region"]))
    notes = (*_mark_notes(trials), *_PROSE.notes("libraries", regions=regions, epochs=trials["epochs"].max()))
    return rows_table(
        _with_marks(trials),
        {"source": "Mineral library given", "start": "Start"}
        | _scores("rmse cosine soc_rho_r c_error ratio_error deepest r2 mrmse"),
        title="Decoders with a wrong mineral library.",
        notes=notes,
    )


def marked(label: str, trials: pd.DataFrame) -> str:
    """``label`` with a mark if any of the trainings did not converge or could not have reached the truth."""
    marks = f" {DAGGER}" if pd.Series(trials["status"] != CONVERGED).any() else ""
    return label + marks + (f" {SHORT}" if pd.Series(trials["short"]).any() else "")


def _with_marks(trials: pd.DataFrame) -> pd.DataFrame:
    """The trials with the name of their start, marked, in the column ``start``."""
    names = [
        marked(files.ESTIMATOR_LABELS[start], pd.DataFrame(trials[place : place + 1]))
        for place, start in enumerate(trials["start"])
    ]
    return trials.assign(start=names)


def _mark_notes(trials: pd.DataFrame) -> tuple[str, ...]:
    """The footnotes behind the marks, with how many trainings have each; nothing if there are none."""
    doubtful = int(pd.Series(trials["status"] != CONVERGED).sum())
    return _PROSE.notes("marks", doubtful=doubtful, short=int(pd.Series(trials["short"]).sum()), all=len(trials))


def lines_table(run: files.SpectrumRun) -> Table:
    """Depth of the trough nearest to each literature position, by source and estimator."""
    lines, named = run.tables["lines"], {line.position: line for line in LITERATURE}
    # The null twin's truth has no trough anywhere.
    lines = lines[lines["estimator"].isin(_MAIN) & ~((lines["source"] == "null") & (lines["estimator"] == files.TRUTH))]
    return pivot_table(
        lines.assign(what=[named[at].what for at in lines["line"]], named=[named[at].source for at in lines["line"]]),
        {"line": "Position (nm)", "what": "What absorbs", "named": "Named by"},
        ("estimator", "source"),
        ("position", "depth", "presence"),
        title="Troughs at the positions that the literature names.",
        fmt=_line_cell,
        order={"estimator": _MAIN},
        labels={
            "line": lambda at: f"{at:g} ± {named[at].within:g}",
            "estimator": files.ESTIMATOR_LABELS,
            "source": {"troughs": "twin"},
        },
        notes=_PROSE.notes("lines"),
    )


def _line_cell(position: float, depth: float, presence: float) -> str:
    share = "" if pd.isna(presence) else f" [{100 * presence:.0f} %]"
    return f"none{share}" if pd.isna(depth) else f"{position:.0f}: {number(depth, 3)}{share}"


def troughs_table(run: files.SpectrumRun) -> Table:
    """All troughs of each spectrum."""
    rows = []
    for source in run.sources:
        for estimator in dict.fromkeys((*_MAIN, *METHODS)):
            if run.curve(source, estimator) is None:
                continue
            found = run.rows("troughs", source=source, estimator=estimator)
            listed = [f"{at:.0f} ({number(by, 3)})" for at, by in zip(found["position"], found["depth"], strict=True)]
            rows.append((files.source_label(source), files.ESTIMATOR_LABELS[estimator], ", ".join(listed) or "none"))
    caption = "All troughs: position in nm (depth in reflectance). Decoders: of the mean over folds."
    return Table(caption, ("Data", "Estimator", "Troughs"), tuple(rows), left=(0, 1, 2))


def accuracy_table(run: files.SpectrumRun) -> Table:
    """Direct regression on reference twins with and without troughs, each seed and the mean, beside the aims."""
    scores, means = run.tables["accuracy"], run.tables["over_seeds"].assign(seed="mean")
    parts = [part for method in dict.fromkeys(scores["method"]) for part in (
        scores[scores["method"] == method], means[means["factor"].isin(scores["factor"]) & (means["method"] == method)]
    )]  # fmt: skip
    return rows_table(
        pd.DataFrame(pd.concat(parts)),
        {"factor": "Data", "method": "Method", "level": ("Samples", "{}"), "seed": ("Seed", "{}")}
        | _scores("rmse cosine ratio_error c_error")
        | {"deepest": ("Deepest trough", 4)},
        title="Direct regression on reference twins.",
        labels={"factor": files.source_label, "method": _METHOD_LABELS},
        notes=_PROSE.notes("accuracy", aims=AIMS, null_aim=NULL_AIM, method=METHODS["regions"].label),
    )


def robustness_table(run: files.SpectrumRun) -> Table:
    """RMSE, cosine and error of c / c_bar by method and exponent, means over seeds."""
    means = run.rows("over_seeds", factor="pedons")
    title = _PROSE.text("robustness_title", seeds=pd.Series(means["seeds"]).max())
    return _means_table(means, {"method": "Method"}, "level", title, heading=lambda level: f"e = {level}")


def sweep_table(run: files.SpectrumRun) -> Table:
    """Means over seeds by factor and level, methods side by side."""
    means = run.tables["over_seeds"]
    means = pd.DataFrame(means[means["factor"].isin(FACTORS)])
    title = "RMSE of f / cosine / error of c/c̄ in %, means over seeds, one thing varied at a time."
    index = {"factor": "What is varied", "level": "Level"}
    return _means_table(means, index, "method", title, notes=_PROSE.notes("sweep"))


def _means_table(
    means: pd.DataFrame, index: dict[str, str], columns: str, title: str, notes: tuple[str, ...] = (), **options: Any
) -> Table:
    """A table of means over seeds, which says how many estimates of each method met no gauge, if any."""
    failed = pd.Series(means.groupby("method", sort=False)["failed"].sum()).items()
    counts = [(_METHOD_LABELS[str(name)], count) for name, count in failed]
    labels = {"factor": {name: factor.label for name, factor in FACTORS.items()}, "method": _METHOD_LABELS}
    notes = (*notes, *_PROSE.notes("failures", counts=counts))
    shown = ("rmse", "cosine", "ratio_error")
    return pivot_table(means, index, columns, shown, title=title, fmt=_three, labels=labels, notes=notes, **options)


def _three(rmse: float, cosine: float, ratio_error: float) -> str:
    return f"{number(rmse, 3)} / {number(cosine, 3)} / {percent(ratio_error, 0)}"


def abundance_table(run: files.SpectrumRun, source: str) -> Table:
    """Mean absolute errors of the most abundant minerals, of SOC, and the mean over all minerals."""
    rows = run.rows("abundances", source=source)
    truth = pd.DataFrame(rows[rows["estimator"] == files.TRUTH])
    minerals = pd.DataFrame(truth[~pd.Series(truth["mineral"]).isin(("SOC", MINERALS))])
    minerals = minerals.sort_values("mean", ascending=False, kind="stable")
    shown = [*minerals["mineral"][:_SHOWN_MINERALS], "SOC", MINERALS]
    labels = {name: f"{label} (%)" for name, label in files.ESTIMATOR_LABELS.items()} | {"mean": "True mean (%)"}
    frame = pd.concat([truth.assign(estimator="mean", error=truth["mean"]), rows])
    return pivot_table(
        pd.DataFrame(frame[frame["mineral"].isin(shown)]),
        {"mineral": "Mineral"},
        "estimator",
        "error",
        title=f"{files.source_label(source)}: mean absolute error of mass fractions, in % by mass.",
        fmt=functools.partial(percent, digits=2),
        order={"mineral": shown},
        labels={"estimator": labels, "mineral": {MINERALS: f"mean of {len(minerals)} minerals"}},
        notes=_PROSE.notes("abundances"),
    )
