"""Sections on latents and spectra of the multi-fidelity report: figure 3, figure 4, uncertainty, distances."""

from __future__ import annotations

import numpy as np
import pandas as pd

from jaxsoil.evaluation.compare import mean_sd
from jaxsoil.evaluation.conversion import coverage, difference, widening
from jaxsoil.report.document import Document
from jaxsoil.report.files import where
from jaxsoil.report.style import save
from jaxsoil.report.tables import Table, number, plus_minus
from jaxsoil.studies.multifidelity.report import figures
from jaxsoil.studies.multifidelity.report.files import MultifidelityRun, numbers, seed_means, split_by

COLLAPSED = 0.01
"""Mean KL in nats under which a latent counts as collapsed where latents.csv does not say."""

_LATENT_SETS = (
    ("train", "Training rows, MIR"),
    ("pairs_mir", "Pairs, MIR"),
    ("pairs_nir", "Pairs, from NIR"),
    ("test_mir", "Test set, MIR"),
    ("test_nir", "Test set, from NIR"),
)


def latent_section(document: Document, run: MultifidelityRun) -> None:
    """Figure 3, the latents that collapsed to the prior, and the agreement of NIR and MIR latents."""
    document.heading("The latent space")
    _collapse(document, run)
    latent, xi = run.arrays.get("latent"), run.arrays.get("xi")
    if latent is None:
        document.text("The run folder has no latent.npz: figure 3 is left out.")
        return
    train = latent["train"]
    dead = collapsed(run, train.shape[1])
    empty = np.empty(0)
    drawn = figures.latent_space(train, *(_xi(xi) if xi else (empty, np.empty((train.shape[1], 0)))), dead)
    caption = (
        "Figure 3, redrawn for the first seed: densities of the latent features of the training rows, each scaled to "
        "its own height, and the Xi correlation with MIR spectra in bins of 25 cm-1: how far a bin's mean is a "
        "function of the latent feature."
        + (" Grey: collapsed to the prior." if dead.any() else "")
        + ("" if xi else " The run folder has no xi.npz.")
    )
    document.figure(save(drawn, run.path / "figures", "figure_3_latents"), caption, run.path)
    _latent_agreement(document, latent, ~dead)


def _xi(xi: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    return xi["wavenumber"], xi["xi"]


def collapsed(run: MultifidelityRun, count: int) -> np.ndarray:
    """(K,) which latents of the first seed collapsed to the prior."""
    table, latent = run.table("latents"), run.arrays.get("latent", {})
    dead = np.zeros(count, dtype=bool)
    if table is not None:
        first = where(table, seed=numbers(table, "seed").min())
        for place, active in zip(_places(first), numbers(first, "active"), strict=True):
            if place <= count:
                dead[place - 1] = active == 0.0
    elif "kl" in latent:
        dead = latent["kl"] < COLLAPSED
    return dead


def _places(table: pd.DataFrame) -> list[int]:
    """Latents counted from 1, whatever the file counts from."""
    latent = numbers(table, "latent")
    return [int(place) for place in latent - latent.min() + 1]


def _collapse(document: Document, run: MultifidelityRun) -> None:
    table = run.table("latents")
    if table is None:
        document.text("The run folder has no latents.csv: collapsed latents are not counted.")
        return
    rows = []
    for seed, part in split_by(table, "seed"):
        active, kl = numbers(part, "active") != 0.0, numbers(part, "kl")
        lost = ", ".join(str(place) for place, used in zip(_places(part), active, strict=True) if not used) or "none"
        rows.append((str(seed), str(int(active.sum())), str(int((~active).sum())), lost, number(float(kl.sum()), 1)))
    header = ("Seed", "Active", "Collapsed", "Which", "KL in all (nats)")
    caption = "Latent features that the encoder uses, and those that collapsed to the prior."
    document.table(Table(caption, header, tuple(rows), left=(0, 3)))


def _latent_agreement(document: Document, latent: dict[str, np.ndarray], active: np.ndarray) -> None:
    """Moments by set, and the correlation of latents from NIR with those from MIR of the same samples."""
    rows = []
    for name, title in _LATENT_SETS:
        if name not in latent or not latent[name].size:
            continue
        z = latent[name][:, active]
        partner = latent.get(name.replace("_nir", "_mir")) if name.endswith("_nir") else None
        r = "–"
        if partner is not None and len(z) > 2:
            with np.errstate(invalid="ignore", divide="ignore"):
                found = [np.corrcoef(a, b)[0, 1] for a, b in zip(z.T, partner[:, active].T, strict=True)]
            low, middle, high = np.nanpercentile(found, [0.0, 50.0, 100.0])
            r = f"{number(middle, 2)} ({number(low, 2)} to {number(high, 2)})"
        moments = np.median(np.abs(z.mean(axis=0))), np.median(z.std(axis=0))
        rows.append((title, f"{len(z):,}", number(moments[0], 2), number(moments[1], 2), r))
    header = ("Rows", "n", "Median |mean|", "Median SD", "r with MIR latents, median (range)")
    caption = "Active latent features of the first seed: posterior means by set, medians over features."
    document.table(Table(caption, header, tuple(rows)))


def conversion_section(document: Document, run: MultifidelityRun) -> None:
    """Figure 4."""
    document.heading("NIR converted to MIR")
    arrays = run.arrays.get("converted")
    if arrays is None:
        document.text("The run folder has no converted.npz: figure 4 is left out.")
        return
    axis, observed, converted = (arrays[name] for name in ("wavenumber", "observed", "converted"))
    drawn = figures.converted_spectra(axis, observed, converted)
    caption = (
        f"Figure 4, redrawn for the first seed: observed and converted MIR spectra of the {len(observed)} test "
        "samples, and the mean and SD of converted minus observed."
    )
    document.figure(save(drawn, run.path / "figures", "figure_4_conversion"), caption, run.path)
    mean, sd = difference(observed, converted)
    worst, widest = int(np.argmax(np.abs(mean))), int(np.nanargmax(sd))
    total = np.sqrt(np.mean((converted - observed) ** 2))
    between = np.sqrt(np.mean((observed - observed.mean(axis=0)) ** 2))
    document.text(
        f"RMSE over bands and samples {number(float(total), 3)} SNV units; predicting the mean observed spectrum for "
        f"all would give {number(float(between), 3)}. Largest mean difference {number(float(mean[worst]), 3)} at "
        f"{axis[worst]:.0f} cm-1, largest SD {number(float(sd[widest]), 3)} at {axis[widest]:.0f} cm-1. The paper, "
        "without numbers: under-prediction between 3750 and 3000 cm-1, over-prediction around 1200 cm-1, large "
        "variance around 2000 and 1250 cm-1."
    )


def uncertainty_section(document: Document, run: MultifidelityRun) -> None:
    """Coverage by band and calibration of the conversion's stated standard deviation."""
    document.heading("Uncertainty of the conversion (beyond the paper)")
    arrays = run.arrays.get("converted", {})
    if "sd" not in arrays:
        document.text("The run states no standard deviation of the converted spectra.")
        return
    axis, observed, converted, sd = (arrays[name] for name in ("wavenumber", "observed", "converted", "sd"))
    drawn = figures.conversion_uncertainty(axis, observed, converted, sd)
    caption = (
        "Test samples, first seed. Left: root mean square error and stated SD by band, and the share of samples inside "
        "the stated 90 % interval. Right: reached against stated coverage."
    )
    document.figure(save(drawn, run.path / "figures", "conversion_uncertainty"), caption, run.path)
    reached = coverage(observed, converted, sd, 0.9)
    factor = widening(observed, converted, sd)
    document.text(
        f"The stated 90 % interval holds {100 * reached.mean():.0f} % of all values (bands: {100 * reached.min():.0f} "
        f"to {100 * reached.max():.0f} %). The stated SD would have to be multiplied by {number(factor, 2)} to match "
        "the mean square error."
    )
    table = run.table("conversion")
    if table is None:
        return
    rows = []
    for which, part in split_by(table, "set"):
        part = part.assign(size=np.abs(numbers(part, "mean_difference")))
        cells = [mean_sd(seed_means(part, name)) for name in ("size", "sd_difference", "sd_predicted")]
        share = mean_sd(100.0 * seed_means(part, "coverage_90"))
        rows.append((str(which), *(plus_minus(c.mean, c.sd, 3) for c in cells), plus_minus(share.mean, share.sd, 1)))
    header = ("Set", "Mean |difference|", "SD of the difference", "Stated SD", "In the 90 % interval (%)")
    document.table(Table("Means over bands, ± SD over seeds; SNV absorbance.", header, tuple(rows)))


def distance_section(document: Document, run: MultifidelityRun) -> None:
    """Mahalanobis distances with the data-driven chi-square limit, Eqs. 15 to 19."""
    document.heading("Are the test samples like those trained on?")
    table = run.table("distances")
    if table is None:
        document.text("The run folder has no distances.csv: distances in the latent space are left out.")
        return
    first = where(table, seed=numbers(table, "seed").min())
    values, limits = {}, {}
    for space, part in split_by(first, "space"):
        sets = {str(name): numbers(rows, "distance") for name, rows in split_by(part, "set")}
        values[str(space)] = {name: sets[name] for name in sorted(sets, key=_set_place)}
        limits[str(space)] = float(numbers(part, "limit")[0])
    facts = run.table("limits")
    alpha = float(numbers(facts, "alpha")[0]) if facts is not None else 0.05
    drawn = figures.distances(values, limits, alpha)
    caption = (
        "Mahalanobis distance from the training rows in the latent space, scaled by median and interquartile range "
        "(Eqs. 15 to 19), first seed; the last bin holds all that lie farther."
    )
    document.figure(save(drawn, run.path / "figures", "distances"), caption, run.path)
    document.table(_extremes(table, facts, alpha))


def _set_place(name: str) -> int:
    order = list(figures.SETS)
    return order.index(name) if name in order else len(order)


def _truth(table: pd.DataFrame) -> np.ndarray:
    """``extreme`` as 0 and 1, also where it was written as a word."""
    return np.array([str(value).lower() in ("1", "1.0", "true") for value in table["extreme"].tolist()], dtype=float)


def _extremes(table: pd.DataFrame, facts: pd.DataFrame | None, alpha: float) -> Table:
    rows = []
    for space, part in split_by(table, "space"):
        limit = mean_sd(seed_means(part, "limit"))
        dof = "–"
        if facts is not None:
            found = sorted({int(v) for v in numbers(where(facts, space=space), "dof")})
            dof = str(found[0]) if len(found) == 1 else f"{found[0]} to {found[-1]}" if found else "–"
        for name in sorted({str(v) for v in part["set"]}, key=_set_place):
            mine = where(part, set=name)
            share = mean_sd(100.0 * seed_means(mine.assign(far=_truth(mine)), "far"))
            middle = mean_sd([np.nanmedian(numbers(rows, "distance")) for _, rows in split_by(mine, "seed")])
            title = figures.SETS.get(name, (name, ""))[0]
            cells = (plus_minus(middle.mean, middle.sd, 2), plus_minus(share.mean, share.sd, 1))
            rows.append((str(space).upper(), title, *cells, plus_minus(limit.mean, limit.sd, 2), dof))
    header = ("Spectra", "Set", "Median distance", "Beyond the limit (%)", "Limit", "F")
    note = (
        f"Of rows like those trained on {100 * alpha:g} % lie beyond the limit (Eqs. 17 to 19, F degrees of freedom)."
    )
    return Table("Distances by set, ± SD over seeds.", header, tuple(rows), (note,), left=(0, 1))
