"""What the mixing decoders learned, from soc_spectra.npz, and how far that is from where they started."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from jaxsoil.report.document import Document
from jaxsoil.report.files import read_arrays, where
from jaxsoil.report.tables import UNDEFINED, Table, mean_sd, number
from jaxsoil.studies.reconstruction.report.reading import Run, TrialRow, kept_epochs, model_label

START_F = 0.5
"""f_SOC of the published start, in all bands."""

_KEYS = ("study", "model", "region", "seed")

SHORT_RUNS = (
    "Adam moves a parameter by at most about learning rate x steps: a run that is short for its learning rate leaves "
    "f_SOC and (rho r)_SOC near their start whatever the truth is."
)
NOT_DETERMINED = (
    "The loss does not determine f_SOC and (rho r)_SOC: shifts among the minerals change both and leave every "
    "reconstruction and every SOC as they are. A good score says nothing about f_SOC."
)


@dataclass(frozen=True, eq=False)
class Learned:
    """Learned SOC spectra (t, m) on ``axis`` (m,) and (rho r)_SOC (t,) in g cm-3 nm, of t trainings.

    ``soc_rho_r`` is NaN without rho r; ``truth`` (m,) and ``truth_rho_r`` are None where they are not known.
    """

    axis: np.ndarray
    unit: str
    study: np.ndarray
    model: np.ndarray
    region: np.ndarray
    seed: np.ndarray
    f_soc: np.ndarray
    soc_rho_r: np.ndarray
    start_rho_r: float
    truth: np.ndarray | None = None
    truth_rho_r: float | None = None

    def of(self, model: str, stage: str = "") -> np.ndarray:
        """Rows (t,) of one model whose trainings stayed finite, in one stage if a name is given."""
        rows = (self.model == model) & np.isfinite(self.f_soc).all(axis=1)
        return rows & np.char.endswith(self.study, f"/{stage}") if stage else rows

    def where(self, rows: np.ndarray) -> Learned:
        """The trainings of the given rows (t,), as a mask."""
        names = (*_KEYS, "f_soc", "soc_rho_r")
        return dataclasses.replace(self, **{name: getattr(self, name)[rows] for name in names})


def read_learned(run: Run) -> Learned | None:
    """Reads soc_spectra.npz; None where the run has no mixing decoder.

    Raises:
      DataError: if arrays are missing.
    """
    path = run.path / "soc_spectra.npz"
    if not path.exists():
        return None
    arrays = read_arrays(path, ("axis", "unit", *_KEYS, "f_soc", "soc_rho_r", "start_rho_r"))
    truth = arrays.get("truth_f_soc")
    return Learned(
        axis=arrays["axis"],
        unit=str(arrays["unit"]),
        study=arrays["study"].astype(str),
        model=arrays["model"].astype(str),
        region=arrays["region"].astype(str),
        seed=arrays["seed"],
        f_soc=arrays["f_soc"].astype(np.float64),
        soc_rho_r=arrays["soc_rho_r"].astype(np.float64),
        start_rho_r=float(arrays["start_rho_r"]),
        truth=None if truth is None else truth.astype(np.float64),
        truth_rho_r=float(arrays["truth_soc_rho_r"]) if "truth_soc_rho_r" in arrays else None,
    )


def movement_table(learned: Learned, stages: dict[str, str]) -> Table:
    """How far f_SOC and (rho r)_SOC moved from the published start, and how far they are from the truth.

    Args:
      learned: what was learned.
      stages: name of each stage -> its text in the table; {"": ""} without stages.
    """
    rows = []
    for model in sorted(set(learned.model.tolist())):
        for stage, text in stages.items():
            chosen = learned.of(model, stage)
            if chosen.any():
                label = f"{model_label(model)}, {text}" if text else model_label(model)
                rows.append((label, str(int(chosen.sum())), *_movement(learned, chosen)))
    header = (
        "Decoder", "Trainings", "f_SOC: RMS distance from its start (0.5)", "f_SOC: mean over bands",
        "f_SOC: RMSE against the truth", "(rho r)_SOC (g cm-3 nm)", "its start", "its truth",
    )  # fmt: skip
    caption = "What the mixing decoder learned: mean ± standard deviation over trainings."
    return Table(caption, header, tuple(rows), (SHORT_RUNS, NOT_DETERMINED))


def _movement(learned: Learned, chosen: np.ndarray) -> tuple[str, ...]:
    f, c = learned.f_soc[chosen], learned.soc_rho_r[chosen]
    moved = np.sqrt(np.mean((f - START_F) ** 2, axis=1))
    off = UNDEFINED
    if learned.truth is not None:
        off = mean_sd(np.sqrt(np.mean((f - learned.truth) ** 2, axis=1))).text()
    with_rho_r = bool(np.isfinite(c).all())
    return (
        mean_sd(moved).text(),
        mean_sd(f.mean(axis=1)).text(),
        off,
        mean_sd(c).text() if with_rho_r else "not used",
        number(learned.start_rho_r, 3) if with_rho_r else "",
        number(learned.truth_rho_r, 3) if with_rho_r else "",
    )


def short_run(run: Run, learned: Learned) -> tuple[str, ...]:
    """A sentence where learning rate x steps does not let f_SOC or (rho r)_SOC reach what they may have to.

    f_SOC starts at 0.5 and may have to go to 0 or 1; (rho r)_SOC has to go to the truth where it is known, and by its
    own size where not. Steps are those to the epoch that was kept, median over the mixing decoders' trainings.
    """
    train = run.config.get("config", {}).get("train", {})
    if not {"lr", "batch"} <= train.keys():
        return ()
    steps = [value for trial in run.trials if (value := _steps(run, trial, train)) and trial.model in learned.model]
    if not steps:
        return ()
    reach = float(train["lr"]) * float(train.get("decoder_lr", 1.0)) * float(np.median(steps))
    start = learned.start_rho_r
    needed = abs(start - learned.truth_rho_r) if learned.truth_rho_r is not None else start
    too_far = ["f_SOC (0.5 from its start to 0 or 1)"] if reach < START_F else []
    if np.isfinite(learned.soc_rho_r).any() and reach < needed:
        to = "its truth" if learned.truth_rho_r is not None else "0"
        too_far.append(f"(rho r)_SOC ({number(needed, 2)} g cm-3 nm from its start to {to})")
    if not too_far:
        return ()
    return (
        f"Learning rate x steps to the kept epoch is {number(reach, 2)} (median over trainings), about the most that "
        f"a parameter can move: too short for {' and '.join(too_far)}; see 'What the mixing decoder learned'.",
    )


def _steps(run: Run, trial: TrialRow, train: dict) -> int:
    """Steps of a trial to its kept epoch, from its training rows without those set aside."""
    rows = where(run.results, model=trial.model, region=trial.region, split="train", metric="n")
    counts = rows["value"].to_numpy(dtype=np.float64)[rows["seed"].to_numpy() == trial.seed]
    epoch = kept_epochs(run).get(trial.trial)
    if not counts.size or epoch is None:
        return 0
    return epoch * int(counts[0] * (1.0 - float(train.get("validation_share", 0.0))) // int(train["batch"]))


def movement_section(document: Document, run: Run, stages: dict[str, str] | None = None) -> None:
    """Adds :func:`movement_table`; nothing where the run has no mixing decoder."""
    learned = read_learned(run)
    if learned is not None and learned.model.size:
        document.section("What the mixing decoder learned", movement_table(learned, stages or {"": ""}))
