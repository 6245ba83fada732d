"""Parts that the reconstruction reports share: convergence, what was seen and what was learned, footnotes."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from jaxsoil.evaluation import results
from jaxsoil.evaluation.results import CONVERGED, DIVERGED, NOT_CONVERGED
from jaxsoil.report import tables
from jaxsoil.report.document import Document
from jaxsoil.report.prose import Prose
from jaxsoil.report.run_files import where
from jaxsoil.report.run_sections import criterion, dagger_note, uses_table
from jaxsoil.report.tables import UNDEFINED, Table, mean_sd, natural_sorted, number
from jaxsoil.studies.reconstruction.learned import START_F
from jaxsoil.studies.reconstruction.report.reading import Run, model_label

UNFITTED = 0.5
"""Mean training R2 of log10 SOC under which a network is said not to have fitted."""

INDUCTIVE = "inductive"
_MOST_SOC = 100.0

PROSE = Prose(__package__, "sections", label=model_label)
"""Sentences that several reports have."""


def marked(text: str, run: Run, model: str, region: str | None = None) -> str:
    """``text`` with a dagger if a network behind it did not converge."""
    return tables.marked(text, run.untrusted(model, region))


def marked_label(run: Run, model: str) -> str:
    """The model's name with its mark."""
    return marked(model_label(model), run, model)


def doubtful_sentence(run: Run, models: Iterable[str]) -> str:
    """Which of the networks of a figure did not converge, with a space before it; empty where all did."""
    marked = [marked_label(run, model) for model in models if run.untrusted(model)]
    return f" {PROSE.text('doubtful', models=marked)}" if marked else ""


def dagger_notes(run: Run, models: Iterable[str]) -> tuple[str, ...]:
    """The footnote behind the daggers, with the criterion and the numbers; nothing if there are none."""
    doubtful = [model for model in models if run.untrusted(model)]
    if not doubtful:
        return ()
    counts = [
        f"{model_label(model)} {len(run.untrusted(model))} of {sum(t.model == model for t in run.trials)} trainings"
        for model in doubtful
    ]
    return dagger_note(run, counts)


def status_section(
    document: Document, run: Run, heading: str = "Convergence of the networks", trained_on: str = "training rows"
) -> None:
    """What became of each trained network, and whether it fitted what it was trained on; nothing without networks."""
    models = [model for model in run.models if any(t.model == model and t.parameters for t in run.trials)]
    if not models:
        return
    document.heading(heading)
    document.text(criterion(run))
    rows = []
    for model in models:
        trials = [trial for trial in run.trials if trial.model == model]
        count = Counter(trial.status for trial in trials)
        parameters = sorted({trial.parameters for trial in trials})
        rows.append(
            (
                marked(model_label(model), run, model),
                *(str(count[status]) for status in (CONVERGED, NOT_CONVERGED, DIVERGED)),
                *(number(training_r2(run, model, scale), 2) for scale in ("log10", "percent")),
                _median_range([trial.kept for trial in trials if trial.status != DIVERGED]),
                _median_range([trial.epochs for trial in trials]),
                ", ".join(f"{value:,}" for value in parameters),
            )
        )
    header = (
        "Model", "Converged", "Not converged", "Diverged", "Training R2 (log10)", "Training R2 (%)",
        "Kept epoch, median (range)", "Epochs run, median (range)", "Trainable parameters",
    )  # fmt: skip
    notes = (*PROSE.notes("status_notes"), *train_note(run), *dagger_notes(run, models))
    unfitted = [
        PROSE.text("unfitted", model=model, trained_on=trained_on, r2=r2)
        for model in models
        if (r2 := training_r2(run, model, "log10")) < UNFITTED
    ]
    by_status = [line for status in (NOT_CONVERGED, DIVERGED) for line in _by_status(run, models, status)]
    document.add(Table("Trainings by outcome.", header, tuple(rows), notes), unfitted + by_status)


def training_r2(run: Run, model: str, scale: str) -> float:
    """Mean R2 of the training rows over all trainings of a model, NaN where there is none."""
    return mean_sd(where(run.results, model=model, split="train", scale=scale, metric="r2")["value"]).mean


def train_note(run: Run) -> tuple[str, ...]:
    """That training scores include rows that were set aside to watch the loss; nothing where none were."""
    share = run.settings.get("train", {}).get("validation_share", 0.0)
    return PROSE.notes("train_note", share=share) if share else ()


def _median_range(values: Sequence[int]) -> str:
    if not values:
        return UNDEFINED
    low, high = min(values), max(values)
    return str(low) if low == high else f"{float(np.median(values)):g} ({low} to {high})"


def _by_status(run: Run, models: Sequence[str], status: str) -> list[str]:
    regions = {model: {trial.region for trial in run.untrusted(model) if trial.status == status} for model in models}
    end = "; its predictions are left out of every number" if status == DIVERGED else ""
    return [
        f"{model_label(model)}, {status} with {', '.join(natural_sorted(found))} held out{end}."
        for model, found in regions.items()
        if found
    ]


def exposure_section(document: Document, run: Run, uses: Sequence[tuple[str, ...]] = ()) -> None:
    """What of the held-out part each number used; ``uses`` has for each kind of number its name, what it took of the
    spectra and what of the labels."""
    document.heading("What was seen of the held-out part")
    by_exposure: dict[str, set[str]] = defaultdict(set)
    for trial in run.trials:
        by_exposure[trial.exposure].add(trial.model)
    if set(by_exposure) == {INDUCTIVE}:
        document.text(f"All trials of all models are {PROSE.text('inductive')}.")
    else:
        document.bullets(
            [
                f"{', '.join(model_label(model) for model in run.models if model in models)}: "
                f"{PROSE.text('inductive') if exposure == INDUCTIVE else exposure}."
                for exposure, models in sorted(by_exposure.items())
            ]
        )
    if uses:
        document.table(uses_table(uses))


def undefined_notes(run: Run, shown: Sequence[str] = ("ccc", "r2", "rpiq")) -> list[str]:
    """Why a number of the metrics ``shown`` is undefined; diverged trials are left to others."""
    diverged = {(trial.model, trial.region, trial.seed) for trial in run.trials if trial.status == DIVERGED}
    found = run.table("undefined")
    keys = zip(found["model"], found["region"], found["seed"], strict=True)
    found = found[found["metric"].isin(shown) & np.array([key not in diverged for key in keys], dtype=bool)]
    notes = []
    for cause, rows in found.groupby("reason"):
        places = []
        for region in natural_sorted(set(rows["region"])):
            models = [model for model in run.models if model in set(rows["model"][rows["region"] == region])]
            listed = "all models" if models == run.models else ", ".join(map(model_label, models))
            places.append(f"{region} ({listed})")
        names = sorted({name.upper() for name in rows["metric"]})
        notes.append(f"{', '.join(names)} undefined because {cause}: {', '.join(places)}.")
    return notes


def clipped_note(run: Run, split: str = "test") -> tuple[str, ...]:
    """How many values the log10 scale raised to its floor, if any."""
    totals: Any = where(run.results, split=split, metric="n_clipped").groupby("model")["value"].sum()
    counted = [f"{model_label(model)} {int(totals[model]):,}" for model in run.models if totals.get(model)]
    if not counted:
        return ()
    return (f"Predictions under {results.SOC_FLOOR:g} % were raised to it before the logarithm: {', '.join(counted)}.",)


def unbounded_note(run: Run, models: Iterable[str] | None = None) -> tuple[str, ...]:
    """Predictions above 100 %: a linear model of log10 SOC has no bound, and a few of them decide its scores in %."""
    listed = []
    for model in run.models if models is None else models:
        rows = where(run.predictions, model=model)
        over = rows[rows["predicted"] > _MOST_SOC]
        if len(over):
            listed.append(f"{model_label(model)} {len(over):,} ({', '.join(natural_sorted(set(over['region'])))})")
    return PROSE.notes("unbounded", most=_MOST_SOC, listed=listed) if listed else ()


def movement_table(learned: pd.DataFrame, stages: dict[str, str]) -> Table:
    """How far f_SOC and (rho r)_SOC moved from the published start, and how far they are from the truth (learned.csv).
    ``stages``: name of each stage -> its text in the table; {"": ""} without stages."""
    rows = []
    for model in sorted(set(learned["model"])):
        for stage, text in stages.items():
            mine = learned[(learned["model"] == model) & learned["study"].str.endswith(f"/{stage}" if stage else "")]
            if len(mine):
                label = f"{model_label(model)}, {text}" if text else model_label(model)
                rows.append((label, str(len(mine)), *_movement(pd.DataFrame(mine))))
    header = (
        "Decoder", "Trainings", "f_SOC: RMS distance from its start (0.5)", "f_SOC: mean over bands",
        "f_SOC: RMSE against the truth", "(rho r)_SOC (g cm-3 nm)", "its start", "its truth",
    )  # fmt: skip
    caption = "What the mixing decoder learned: mean ± standard deviation over trainings."
    return Table(caption, header, tuple(rows), PROSE.notes("movement"))


def _movement(mine: pd.DataFrame) -> tuple[str, ...]:
    moved, mean, off, rho_r = (
        mean_sd(mine[name]).text() for name in ("moved", "mean_f_soc", "f_soc_error", "soc_rho_r")
    )
    if not np.isfinite(mine["soc_rho_r"]).all():
        return moved, mean, off, "not used", "", ""
    start, truth = (float(mine[name].iloc[0]) for name in ("start_rho_r", "truth_rho_r"))
    return moved, mean, off, rho_r, number(start, 3), number(truth, 3)


def short_run(run: Run) -> tuple[str, ...]:
    """A sentence where learning rate x steps does not let f_SOC or (rho r)_SOC reach what they may have to.

    f_SOC starts at 0.5 and may have to go to 0 or 1; (rho r)_SOC has to go to the truth where it is known, and by its
    own size where not. Steps are those to the epoch that was kept, median over the mixing decoders' trainings.
    """
    train, learned = run.settings.get("train", {}), run.table("learned")
    models = set(learned["model"])
    steps = [trial.steps for trial in run.trials if trial.status != DIVERGED and trial.model in models]
    if not steps or "lr" not in train:
        return ()
    reach = float(train["lr"]) * float(train.get("decoder_lr", 1.0)) * float(np.median(steps))
    start, truth = (float(learned[name].iloc[0]) for name in ("start_rho_r", "truth_rho_r"))
    needed = abs(start - truth) if np.isfinite(truth) else start
    too_far = ["f_SOC (0.5 from its start to 0 or 1)"] if reach < START_F else []
    if np.isfinite(learned["soc_rho_r"]).any() and reach < needed:
        to = "its truth" if np.isfinite(truth) else "0"
        too_far.append(f"(rho r)_SOC ({number(needed, 2)} g cm-3 nm from its start to {to})")
    return PROSE.notes("short_run", reach=reach, too_far=too_far) if too_far else ()


def movement_section(document: Document, run: Run, stages: dict[str, str] | None = None) -> None:
    """Adds :func:`movement_table`; nothing where the run has no mixing decoder."""
    if (run.path / "soc_spectra.npz").exists() and len(run.table("learned")):
        heading = "What the mixing decoder learned"
        document.section(heading, movement_table(run.table("learned"), stages or {"": ""}))
