"""Section of a report: what the mixing decoders learned, and whether the run was long enough for it."""

from __future__ import annotations

import numpy as np
import pandas as pd

from jaxsoil.report.document import Document
from jaxsoil.report.prose import Prose
from jaxsoil.report.run_files import where
from jaxsoil.report.run_sections import settings
from jaxsoil.report.tables import Table, mean_sd, number
from jaxsoil.studies.reconstruction.learned import START_F
from jaxsoil.studies.reconstruction.report.reading import Run, TrialRow, kept_epochs, model_label

_PROSE = Prose(__package__, "learned")


def movement_table(learned: pd.DataFrame, stages: dict[str, str]) -> Table:
    """How far f_SOC and (rho r)_SOC moved from the published start, and how far they are from the truth.

    Args:
      learned: rows of learned.csv (:func:`jaxsoil.studies.reconstruction.learned.movement_rows`).
      stages: name of each stage -> its text in the table; {"": ""} without stages.
    """
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
    return Table(caption, header, tuple(rows), _PROSE.notes("notes"))


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
    train, learned = settings(run).get("train", {}), run.table("learned")
    if not {"lr", "batch"} <= train.keys():
        return ()
    models = set(learned["model"])
    steps = [value for trial in run.trials if (value := _steps(run, trial, train)) and trial.model in models]
    if not steps:
        return ()
    reach = float(train["lr"]) * float(train.get("decoder_lr", 1.0)) * float(np.median(steps))
    start, truth = (float(learned[name].iloc[0]) for name in ("start_rho_r", "truth_rho_r"))
    needed = abs(start - truth) if np.isfinite(truth) else start
    too_far = ["f_SOC (0.5 from its start to 0 or 1)"] if reach < START_F else []
    if np.isfinite(learned["soc_rho_r"]).any() and reach < needed:
        to = "its truth" if np.isfinite(truth) else "0"
        too_far.append(f"(rho r)_SOC ({number(needed, 2)} g cm-3 nm from its start to {to})")
    return _PROSE.notes("short_run", reach=reach, too_far=too_far) if too_far else ()


def _steps(run: Run, trial: TrialRow, train: dict) -> int:
    """Steps of a trial to its kept epoch, from its training rows without those set aside."""
    rows = where(run.results, model=trial.model, region=trial.region, seed=trial.seed, split="train", metric="n")
    epoch = kept_epochs(run).get(trial.trial)
    if not len(rows) or epoch is None:
        return 0
    count = float(rows["value"].iloc[0]) * (1.0 - float(train.get("validation_share", 0.0)))
    return epoch * int(count // int(train["batch"]))


def movement_section(document: Document, run: Run, stages: dict[str, str] | None = None) -> None:
    """Adds :func:`movement_table`; nothing where the run has no mixing decoder."""
    if (run.path / "soc_spectra.npz").exists() and len(run.table("learned")):
        heading = "What the mixing decoder learned"
        document.section(heading, movement_table(run.table("learned"), stages or {"": ""}))
