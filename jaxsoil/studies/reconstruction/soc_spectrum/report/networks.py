"""Tables of the soc_spectrum report on the trainings of the mixing decoder."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxsoil.report.tables import DAGGER, UNDEFINED, Table, number
from jaxsoil.studies.reconstruction.report.reading import CONVERGED
from jaxsoil.studies.reconstruction.soc_spectrum.report.files import (
    DIRECT_START,
    ESTIMATOR_LABELS,
    PAPER_START,
    TRUTH,
    SpectrumRun,
    source_label,
)
from jaxsoil.studies.reconstruction.soc_spectrum.tables import paired_difference, reach_is_short

SHORT = "‡"
"""Marks trainings that ended before Adam could have reached the truth."""


def networks_table(run: SpectrumRun, source: str) -> Table:
    """One row for each trial of the decoder."""
    rows, trials = [], [trial for start in (PAPER_START, DIRECT_START) for trial in run.trials(source, start)]
    for trial in trials:
        rows.append(
            (
                marked(ESTIMATOR_LABELS[trial["start"]], [trial]),
                str(trial["region"]),
                str(int(trial["seed"])),
                number(trial["soc_rho_r"], 3),
                number(trial["munsell"], 1),
                number(trial["rmse"], 4),
                number(trial["cosine"], 4),
                number(100 * trial["c_error"], 1),
                number(trial["deepest"], 3),
                number(trial["r2"], 2),
                number(trial["mrmse"], 2),
            )
        )
    header = (
        "Start", "Held out", "Seed", "(ρr) of SOC (g cm-3 nm)", "Munsell value", "RMSE of f", "Cosine",
        "Error of c (%)", "Deepest trough", "R2 of SOC", "MRMSE (%)",
    )  # fmt: skip
    chosen = run.learned["source"] == source
    starts = run.learned["start_rho_r"][chosen]
    start_rho_r = float(starts[0]) if starts.size else np.nan
    notes = [
        *_mark_notes(trials),
        f"The paper's start: f = 0.5 in every band and (ρr) = {number(start_rho_r, 3)}, the mean of the minerals.",
        "R2 (SOC in %) and MRMSE in the held-out region. A good fit of SOC says nothing about f.",
        *_paired_note(run, source),
    ]
    return Table(f"{source_label(source)}: trainings of the decoder.", header, tuple(rows), tuple(notes), left=(0, 1))


def _paired_note(run: SpectrumRun, source: str) -> list[str]:
    """The difference in R2 of SOC between the starts, over held-out regions."""
    found = paired_difference(run.trials(source, PAPER_START), run.trials(source, DIRECT_START), "r2")
    if not found.n:
        return []
    text = f"R2 of SOC, direct start minus the paper's start, paired by held-out region: mean {number(found.mean, 3)}"
    if found.n == 1:
        return [f"{text} in one region."]
    seeds = len({trial["seed"] for trial in run.trials(source, PAPER_START)})
    return [
        f"{text}, SD {number(found.sd, 3)}, 95 % t interval {number(found.low, 3)} to {number(found.high, 3)} "
        f"({found.n} regions, {'one seed' if seeds == 1 else f'means of {seeds} seeds'})."
    ]


def reach_table(run: SpectrumRun) -> Table:
    """How far Adam could move the decoder's parameters, beside how far it did and how far the truth was."""
    rows, unknown = [], []
    for source in run.sources:
        direct, begun = run.estimate(source, "regions"), run.learned["start_rho_r"][run.learned["source"] == source]
        if not run.estimate(source, TRUTH) and direct and begun.size and np.isfinite(direct["soc_rho_r"]):
            away = number(abs(float(begun[0]) - direct["soc_rho_r"]), 3)
            unknown.append(
                f"{source_label(source)}: no truth; c of the direct estimate is {away} from the paper's start."
            )
        for start in (PAPER_START, DIRECT_START):
            trials = run.trials(source, start)
            if trials:
                cells = (_span(trials, name, 3) for name in ("reach", "moved_c", "distance_c", "moved_f", "distance_f"))
                label = marked(ESTIMATOR_LABELS[start], trials)
                rows.append((source_label(source), label, _span(trials, "kept", 0), *cells))
    header = (
        "Data", "Start", "Epochs", "Reach", "c moved", "c to the truth", "f moved, at most", "f to the truth, at most",
    )  # fmt: skip
    notes = [
        "Adam moves a parameter by at most about its learning rate in each step. Reach: the decoder's learning rate "
        "times the steps up to the parameters used, in units of the parameter (c in g cm-3 nm, f in reflectance).",
        "Least to greatest over trainings. f: of the band that moved most, or that is farthest from the truth.",
        *unknown,
        *_mark_notes(run.networks),
    ]
    return Table("How far the trainings could go.", header, tuple(rows), tuple(notes), left=(0, 1))


def _span(trials: list[dict[str, Any]], name: str, digits: int) -> str:
    values = finite(trials, name)
    if not values.size:
        return UNDEFINED
    low, high = number(float(values.min()), digits), number(float(values.max()), digits)
    return low if low == high else f"{low} to {high}"


def libraries_table(run: SpectrumRun) -> Table:
    """Both starts of the decoder with a right and with wrong mineral libraries."""
    rows = []
    for trial in run.libraries:
        rows.append(
            (
                trial["source"],
                marked(ESTIMATOR_LABELS[trial["start"]], [trial]),
                number(trial["rmse"], 4),
                number(trial["cosine"], 4),
                number(trial["soc_rho_r"], 3),
                number(100 * trial["c_error"], 1),
                number(100 * trial["ratio_error"], 1),
                number(trial["deepest"], 3),
                number(trial["r2"], 2),
                number(trial["mrmse"], 2),
            )
        )
    header = (
        "Mineral library given", "Start", "RMSE of f", "Cosine", "(ρr) of SOC (g cm-3 nm)", "Error of c (%)",
        "Error of c/c̄ (%)", "Deepest trough", "R2 of SOC", "MRMSE (%)",
    )  # fmt: skip
    regions = ", ".join(dict.fromkeys(str(trial["region"]) for trial in run.libraries))
    notes = [
        *_mark_notes(run.libraries),
        f"One training each, region {regions} held out, at most {int(max(t['epochs'] for t in run.libraries))} epochs; "
        "differences of the size that the folds show among themselves mean nothing.",
        "c̄ is that of the mean soil of the twin with the (ρr) of the library given, minerals that it lacks left out.",
    ]
    return Table("Decoders with a wrong mineral library.", header, tuple(rows), tuple(notes), left=(0, 1))


def marked(label: str, trials: list[dict[str, Any]]) -> str:
    """``label`` with a mark if any of the trainings did not converge or could not have reached the truth."""
    marks = "" if all(trial["status"] == CONVERGED for trial in trials) else f" {DAGGER}"
    return label + marks + (f" {SHORT}" if any(map(reach_is_short, trials)) else "")


def _mark_notes(trials: list[dict[str, Any]]) -> list[str]:
    """The footnotes behind the marks, with how many trainings have each; nothing if there are none."""
    notes, short = [], sum(map(reach_is_short, trials))
    doubtful = sum(trial["status"] != CONVERGED for trial in trials)
    if doubtful:
        notes.append(f"{DAGGER} did not converge: {doubtful} of {len(trials)} trainings.")
    if short:
        notes.append(
            f"{SHORT} ended before Adam could have moved c or f from its start to the truth (learning rate of the "
            f"decoder times steps): {short} of {len(trials)} trainings. That they stayed near their start shows when "
            "they were stopped, not what the loss asks for."
        )
    return notes


def finite(rows: list[dict[str, Any]], name: str) -> np.ndarray:
    """The values of a column that are numbers."""
    values = np.array([float(row[name]) for row in rows])
    return values[np.isfinite(values)]
