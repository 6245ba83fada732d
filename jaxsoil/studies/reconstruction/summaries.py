"""Numbers over regions, computed from the files of a finished run and written beside them for the reports.

Each summary takes the run folder and gives tables by the name of their file; :func:`write` writes them as CSV, and as
Parquet where the name says so.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from jaxsoil.data.library import MODELLED, NOT_STATED, Library
from jaxsoil.data.splits import Split
from jaxsoil.evaluation import alarm, regions, results
from jaxsoil.runs.files import read_arrays, read_json, write_csv, write_parquet
from jaxsoil.runs.tables import Columns, read_csv, read_parquet
from jaxsoil.studies.reconstruction import learned
from jaxsoil.studies.reconstruction.config import PAPER_NETWORKS
from jaxsoil.studies.reconstruction.tables import OWN, SAMPLES, read_main

MEASURES = (
    ("log10", "rmse"), ("log10", "ccc"), ("log10", "bias"), ("percent", "rmse"), ("percent", "r2"),
    ("reflectance", "mrmse"),
)  # fmt: skip
"""Scale and metric of the paired differences."""

BOOTSTRAP_SEED = 0
"""Seed of the bootstrap over regions behind the intervals of the alarms' areas."""

ALL, MEASURED = "all", "measured"
"""Parts of the regions that are averaged: all of them, and those whose SOC is not modelled."""

_AVERAGED = ["study", "model", *OWN, "split", "scale", "metric", "unit"]

UNTESTED = "no network"
"""Block of a region on which no network has a defined R2."""

Summary = Callable[[Path], dict[str, pd.DataFrame]]


def write(folder: Path, summaries: Iterable[Summary]) -> None:
    """Writes the tables of the summaries into a run folder."""
    for summary in summaries:
        for name, frame in summary(folder).items():
            if name.endswith(".parquet"):
                write_parquet(folder / name, frame)
            else:
                write_csv(folder / f"{name}.csv", frame)


def averages(folder: Path) -> dict[str, pd.DataFrame]:
    """averages.csv and region_averages.csv (:func:`average_rows`) of the parts :data:`ALL` and :data:`MEASURED`, which
    is all of them where nothing would be left, and of the blocks of blocks.csv where the run has it."""
    frame, modelled = results.read_results(folder / "results.csv", OWN), modelled_regions(folder)
    names = frame["region"].drop_duplicates()
    parts = {ALL: names, MEASURED: names[~names.isin(modelled)] if set(names) - set(modelled) else names}
    if (folder / "blocks.csv").exists():
        blocks = read_csv(folder / "blocks.csv", Columns("block region"))
        parts |= {name: blocks["region"][blocks["block"] == name] for name in regions.BLOCKS}
    return average_rows(pd.concat([frame, _smearing(folder, frame)], ignore_index=True), parts)


def average_rows(
    frame: pd.DataFrame, parts: Mapping[str, Iterable[str]], overlap: float = 0.0
) -> dict[str, pd.DataFrame]:
    """Means over regions and over the seeds of a region.

    Args:
      frame: rows of results.csv with the columns :data:`OWN`, all settings.
      parts: name -> regions (or draws) that are averaged.
      overlap: of draws that share rows, as of :func:`jaxsoil.evaluation.results.over_regions`.

    Returns:
      averages: for each part, study, model, setting, split, scale and metric the ``mean`` over its ``regions`` (their
      number; seeds averaged first) with its standard error ``se``, the ``median`` over regions and seeds, the numbers
      of ``values`` and of ``undefined`` ones, and ``overlap``. region_averages: ``value``, the mean over the seeds of a
      region whose metric is defined, for each region, study, model, setting, split, scale and metric.
    """
    found = []
    for part, names in parts.items():
        mine = pd.DataFrame(frame[frame["region"].isin(list(names))])
        if not len(mine):
            continue
        means = results.over_regions(mine, OWN, overlap)
        medians: Any = mine.groupby(_AVERAGED)["value"].median()
        medians = medians.rename("median").reset_index()
        means = means[means["seed"] == "all"].merge(medians, on=_AVERAGED, validate="one_to_one")
        found.append(means.drop(columns=["data", "property", "seed"]).assign(part=part, overlap=overlap))
    by_region: Any = frame.groupby(["region", *_AVERAGED], sort=False)["value"].mean()
    return {"averages": pd.concat(found, ignore_index=True), "region_averages": by_region.reset_index()}


def _smearing(folder: Path, frame: pd.DataFrame) -> pd.DataFrame:
    """Mean over median of SOC of each fit of log10 SOC, as rows of results."""
    trials: Any = read_csv(folder / "trials.csv", Columns("region loss", "smearing", "seed"))
    trials = trials[trials["loss"] == "log"].rename(columns={"smearing": "value"})
    named = {"split": "test", "scale": "percent", "metric": "smearing", "unit": "1", "property": results.SOC}
    named |= {"study": "", "data": frame["data"].iloc[0]}
    return trials.assign(**named).reindex(columns=frame.columns)


def region_blocks(folder: Path) -> dict[str, pd.DataFrame]:
    """blocks.csv, the paper's parting of the regions, and block_tests.csv, tests of MRMSE between its two sets."""
    frame = read_main(folder)
    blocks = regions.region_blocks(frame, PAPER_NETWORKS)
    named = {name: blocks["region"][blocks["block"] == name].tolist() for name in regions.BLOCKS}
    rebuilt = set(frame["model"][frame["metric"] == "mrmse"])
    tested = [model for model in PAPER_NETWORKS if model in rebuilt]
    return {"blocks": blocks, "block_tests": regions.block_tests(frame, tested, named)}


def alarms(folder: Path) -> dict[str, pd.DataFrame]:
    """alarm_regions.csv, alarm_areas.csv, alarm_curves.csv and alarm_outcomes.csv (:mod:`jaxsoil.evaluation.alarm`).

    Nothing where no network was trained. The seed of the bootstrap is :data:`BOOTSTRAP_SEED`.
    """
    path = folder / "samples.parquet"
    if not path.exists():
        return {}
    tables = alarm.alarm_tables(read_parquet(path, SAMPLES))
    return {
        "alarm_regions": tables.regions,
        "alarm_areas": alarm.area_rows(tables, seed=BOOTSTRAP_SEED),
        "alarm_curves": alarm.curve_rows(tables),
        "alarm_outcomes": alarm.outcome_rows(tables),
    }


def model_differences(folder: Path) -> dict[str, pd.DataFrame]:
    """differences.csv and intervals.csv: every model against every other, paired by region and seed.

    Intervals leave out regions whose SOC is modelled, as the means of the report do.
    """
    frame = read_main(folder)
    pairs = itertools.permutations(dict.fromkeys(frame["model"]), 2)
    rows = regions.difference_rows(frame, frame, pairs, MEASURES, ("train", "test"))
    return _differences(rows, modelled_regions(folder))


def stage_differences(folder: Path) -> dict[str, pd.DataFrame]:
    """The same of each model after fine-tuning against itself before."""
    frame = read_main(folder)
    before, after = (pd.DataFrame(frame[frame["study"].str.endswith(f"/{stage}")]) for stage in ("before", "after"))
    pairs = [(model, model) for model in dict.fromkeys(frame["model"])]
    return _differences(regions.difference_rows(before, after, pairs, MEASURES))


def learned_spectra(folder: Path) -> dict[str, pd.DataFrame]:
    """learned.csv, how far f_SOC and (rho r)_SOC moved; nothing where the run has no mixing decoder."""
    arrays = _soc_spectra(folder)
    return {"learned": learned.movement_rows(arrays)} if arrays else {}


def rescaling(folder: Path) -> dict[str, pd.DataFrame]:
    """rescaling.csv, rescaling_bands.csv, between_seeds.csv, rescaling_means.csv over them, and beyond_seeds.csv: f_SOC
    with and without rho r."""
    arrays = _soc_spectra(folder)
    if not arrays:
        return {}
    rescaled, between = learned.rescaling_rows(arrays), learned.between_seed_rows(arrays)
    bands = learned.band_rows(arrays)
    return {
        "rescaling": rescaled,
        "rescaling_bands": bands,
        "rescaling_means": learned.rescaling_means(rescaled, bands, between),
        "between_seeds": between,
        "beyond_seeds": learned.beyond_seeds(rescaled, between),
    }


def modelled_regions(folder: Path) -> list[str]:
    """Regions of a run whose SOC is modelled from the spectra, as data.json says."""
    path = folder / "data.json"
    stated = read_json(path).get("soc_is", {}) if path.exists() else {}
    return [region for region, kind in stated.items() if MODELLED in kind]


def region_rows(folder: Path, library: Library, splits: Sequence[Split]) -> dict[str, pd.DataFrame]:
    """region_rows.csv: what each region holds, and what its few labelled pedons of the lowest seed do (``folder`` is
    not read).

    Returns:
      Rows ``region, country, rows, labelled, pedons, subsample_rows``: rows, those with SOC, pedons with SOC, and
      labelled rows of the pedons that were drawn, NaN for a region that no split trains on.
    """
    labelled, pedons = np.isfinite(library.property("soc").values), library.group("pedon")
    lowest = min(split.seed for split in splits)
    rows = []
    for name, mine in _regions(library):
        # A region's draw is the same whichever other region is held out.
        drawn = [split.train & mine for split in splits if split.seed == lowest and split.held_out != name]
        pedons_there = np.unique(pedons[mine & labelled]).size
        counts = (int(mine.sum()), int((mine & labelled).sum()), pedons_there)
        rows.append((name, _country(library, mine), *counts, float(drawn[0].sum()) if drawn else np.nan))
    columns = ["region", "country", "rows", "labelled", "pedons", "subsample_rows"]
    return {"region_rows": pd.DataFrame(rows, columns=pd.Index(columns))}


def region_facts(folder: Path, library: Library) -> dict[str, pd.DataFrame]:
    """region_facts.csv: of each held-out region where it lies, its rows, its SOC, and how the networks did on it.

    Returns:
      Rows ``region, country, rows, pedons, soc_median, soc_log_sd, block, lowest_r2, highest_r2, bias_log10, mrmse``:
      median SOC in %, standard deviation of log10 SOC (n - 1); of the publication's networks the block and the extreme
      R2 of SOC in % (blocks.csv), and over networks and seeds the mean bias of log10 SOC and mean MRMSE in %.
    """
    results = read_main(folder)
    blocks = read_csv(folder / "blocks.csv", Columns("region block", "lowest_r2 highest_r2")).set_index("region")
    tested = results[(results["split"] == "test") & results["model"].isin(PAPER_NETWORKS)]
    means = {}
    for name, scale, metric in (("bias_log10", "log10", "bias"), ("mrmse", "reflectance", "mrmse")):
        rows = pd.DataFrame(tested[(tested["scale"] == scale) & (tested["metric"] == metric)])
        means[name] = rows.assign(region=rows["region"].astype(str)).groupby("region")["value"].mean()
    soc, units = library.property("soc").values, library.blocks
    found = []
    for name, mine in _regions(library):
        log = np.log10(soc[mine])
        facts = {"region": name, "country": _country(library, mine), "rows": int(mine.sum())}
        facts |= {"pedons": int(np.unique(units[mine]).size), "soc_median": float(np.median(soc[mine]))}
        facts |= {"soc_log_sd": float(log.std(ddof=1)) if log.size > 1 else np.nan, "block": UNTESTED}
        facts |= dict.fromkeys(("lowest_r2", "highest_r2"), np.nan)
        if name in blocks.index:
            facts |= blocks.loc[name, ["block", "lowest_r2", "highest_r2"]].to_dict()
        found.append(facts | {key: float(values.get(name, np.nan)) for key, values in means.items()})
    return {"region_facts": pd.DataFrame(found)}


def _regions(library: Library) -> list[tuple[str, np.ndarray]]:
    regions = library.group("region")
    return [(name, regions == name) for name in np.unique(regions).tolist()]


def _country(library: Library, rows: np.ndarray) -> str:
    if "country" not in library.groups:
        return NOT_STATED
    return ", ".join(np.unique(library.groups["country"][rows]).tolist())


def _differences(rows: pd.DataFrame, left_out: Sequence[str] = ()) -> dict[str, pd.DataFrame]:
    kept = pd.DataFrame(rows[~rows["region"].isin(list(left_out))])
    return {"differences": rows, "intervals": regions.paired_intervals(kept)}


def _soc_spectra(folder: Path) -> dict[str, np.ndarray]:
    path = folder / "soc_spectra.npz"
    return read_arrays(path) if path.exists() else {}
