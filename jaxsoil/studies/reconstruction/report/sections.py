"""Parts that the reconstruction reports share: convergence, what was seen of the held-out part, footnotes."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

import numpy as np

from jaxsoil.evaluation import metrics, results
from jaxsoil.evaluation.results import CONVERGED, DIVERGED, FITTED, NOT_CONVERGED
from jaxsoil.report import tables
from jaxsoil.report.document import Document
from jaxsoil.report.prose import Prose
from jaxsoil.report.run_files import where
from jaxsoil.report.run_sections import criterion, dagger_note, settings, uses_table
from jaxsoil.report.tables import UNDEFINED, Table, mean_sd, natural_sorted, number
from jaxsoil.studies.reconstruction.report.reading import Run, kept_epochs, model_label, predictions_by_trial

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
    """What became of each trained network, and whether it fitted what it was trained on.

    Args:
      document: receives the section; nothing without networks.
      run: the run.
      heading: its heading.
      trained_on: what the networks were trained on, as the sentence on those that did not fit it names it.
    """
    models = [model for model in run.models if any(t.model == model and t.status != FITTED for t in run.trials)]
    if not models:
        return
    document.heading(heading)
    document.text(criterion(run))
    kept = kept_epochs(run)
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
                _median_range([kept[trial.trial] for trial in trials if trial.trial in kept]),
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
    share = settings(run).get("train", {}).get("validation_share", 0.0)
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
    """What of the held-out part each number used.

    Args:
      document: receives the section.
      run: the run.
      uses: for each kind of number its name, what it took of the spectra of the held-out part and what of its labels.
    """
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
    """Why a number of the tables is undefined, from the predictions themselves; diverged trials are left to others.

    Args:
      run: the run.
      shown: metrics that the tables show.
    """
    diverged = {(trial.model, trial.region, trial.seed) for trial in run.trials if trial.status == DIVERGED}
    names: dict[str, set[str]] = defaultdict(set)
    places: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for key, (observed, predicted) in predictions_by_trial(run).items():
        reasons: dict[str, str] = {}
        if key not in diverged:
            metrics.summary(observed, predicted, reasons=reasons)
            metrics.summary(results.log10_percent(observed), results.log10_percent(predicted), reasons=reasons)
        for name, reason in reasons.items():
            if name in shown:
                cause = reason.split(": ")[-1]
                names[cause].add(name.upper())
                places[cause][key[1]].add(key[0])
    return [
        f"{', '.join(sorted(names[cause]))} undefined because {cause}: "
        + ", ".join(_where(run, region, regions[region]) for region in natural_sorted(set(regions)))
        + "."
        for cause, regions in sorted(places.items())
    ]


def _where(run: Run, region: str, models: set[str]) -> str:
    listed = ", ".join(model_label(model) for model in run.models if model in models)
    return f"{region} ({'all models' if models == set(run.models) else listed})"


def clipped_note(run: Run, split: str = "test") -> tuple[str, ...]:
    """How many values the log10 scale raised to its floor, if any."""
    totals = where(run.results, split=split, metric="n_clipped").groupby("model")["value"].sum()
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
