"""Chooses input, SOC loss and training length of region_out by leaving out training regions.

python tools/choose_settings.py --data fields --workdir runs/choose-fields
python tools/choose_settings.py --data twin --twin.n-bands 107 --groups 6 --workdir runs/choose-twin
python tools/choose_settings.py --data fields --input snv --loss log --lengths 30 6 60 8 120 12 --workdir runs/length

Writes scores.csv, choices.csv and candidates.csv into the folder and prints the last two; the same command goes on
where it was interrupted. docs/comparisons.md has the tables that the defaults came from.

Regions lie in G groups (each its own group where there are no more regions than groups). For every two groups a and b
the models are trained on the others and tested on both: G (G - 1) / 2 trainings of a candidate. Outer fold a chooses by
the regions of all b, each predicted by models that saw neither a nor b: no label of a's regions enters, as model or as
score. What the choice is worth is scored on a's regions by the same models.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from jaxsoil.data.draws import group_folds
from jaxsoil.data.library import MODELLED, SOC_IS, Library
from jaxsoil.data.splits import INDUCTIVE, PROTECTED, Split, check_no_leak
from jaxsoil.evaluation import metrics
from jaxsoil.evaluation.results import log10_percent
from jaxsoil.experiments import load
from jaxsoil.runs.errors import DataError, UsageError
from jaxsoil.runs.files import write_csv
from jaxsoil.runs.folder import RunFolder, create, refuse_or_accept
from jaxsoil.studies.reconstruction.config import Baseline, Input, Network, SocLoss, StudyConfig
from jaxsoil.studies.reconstruction.prepare import prepare_study
from jaxsoil.studies.reconstruction.run import run_study
from jaxsoil.training import config as limits
from jaxsoil.training.devices import matmul_precision

EXPERIMENTS = Path(__file__).resolve().parent.parent / "experiments"

CANDIDATE = ("input", "loss", "epochs", "patience")
"""What is chosen; epochs and patience are 0 of a baseline."""


@dataclasses.dataclass(frozen=True)
class ChooseConfig(StudyConfig):
    """Candidates of a choice: all inputs with all losses and, of networks, all lengths."""

    networks: tuple[Network, ...] = ("none",)
    """Networks that are trained; the encoder alone stands for those with a decoder."""
    baselines: tuple[Baseline, ...] = ("plsr",)
    """Baselines that are fitted."""
    input: tuple[Input, ...] = ("reflectance", "absorbance", "snv")
    """Candidate inputs."""
    loss: tuple[SocLoss, ...] = ("linear", "proportional", "log")
    """Candidate losses."""
    baseline_input: tuple[Input, ...] = ()
    """Candidate inputs of the baselines; none given: those of the networks."""
    baseline_loss: tuple[SocLoss, ...] = ()
    """Candidate losses of the baselines; none given: those of the networks."""
    lengths: tuple[tuple[int, int], ...] = ((120, 12),)
    """Candidate lengths of the networks: epochs at most, and patience."""
    groups: int = 8
    """Groups of regions; three or more."""


def region_groups(regions: np.ndarray, groups: int) -> dict[str, int]:
    """Group of each region by its name: each its own, or of about as many rows.

    Raises:
      UsageError: fewer than three groups or regions, with which no choice is nested.
    """
    names = np.unique(regions).tolist()
    if min(groups, len(names)) < 3:
        raise UsageError(f"--groups {groups}: a nested choice needs three groups and regions; there are {len(names)}.")
    if groups >= len(names):
        return {name: place for place, name in enumerate(names)}
    fold = group_folds(regions, groups, np.random.default_rng(0))
    return {name: int(fold[np.argmax(regions == name)]) for name in names}


def pairs_out(library: Library, group_of: dict[str, int]) -> list[Split]:
    """A split for each two groups of regions: both are held out."""
    group = np.array([group_of[name] for name in library.group("region").tolist()])
    labelled = np.isfinite(library.property("soc").values)
    protected = {name: library.groups[name] for name in PROTECTED if name in library.groups}
    splits = []
    for one, other in itertools.combinations(range(max(group_of.values()) + 1), 2):
        out, nothing = np.isin(group, (one, other)), np.zeros(len(group), bool)
        name = f"{one + 1}-{other + 1}"
        split = Split(f"pairs_out/{name}", name, labelled & ~out, nothing, labelled & out, INDUCTIVE, 0)
        check_no_leak(split, protected)
        splits.append(split)
    return splits


def scores_of(predictions: pd.DataFrame, library: Library, group_of: dict[str, int]) -> pd.DataFrame:
    """CCC of log10 SOC of each region by the models of each two groups.

    Args:
      predictions: predictions.parquet of a run on :func:`pairs_out`, all settings.
      library, group_of: as there. Regions whose SOC is modelled from spectra are left out: they choose nothing.

    Returns:
      Rows ``model, input, loss, seed, region, group, beside, ccc``: ``beside`` is the other group that was held out.
    """
    ids = pd.Index(library.ids)
    rows = ids.get_indexer(pd.Index(predictions["id"]))
    region = library.group("region")[rows]
    kept = np.ones(len(rows), bool) if SOC_IS not in library.groups else library.groups[SOC_IS][rows] != MODELLED
    frame = pd.DataFrame(predictions[kept]).rename(columns={"region": "pair"}).assign(region=region[kept])
    made = []
    for key, mine in frame.groupby(["model", "input", "loss", "seed", "pair", "region"], sort=False):
        *names, pair, name = key  # type: ignore[misc]
        group = group_of[str(name)]
        beside = next(number for number in (int(part) - 1 for part in str(pair).split("-")) if number != group)
        predicted = log10_percent(mine["predicted"])
        value = metrics.summary(log10_percent(mine["observed"]), predicted)["ccc"]
        made.append((*names, name, group, beside, value))
    columns = ["model", "input", "loss", "seed", "region", "group", "beside", "ccc"]
    return pd.DataFrame(made, columns=pd.Index(columns))


def choices(scores: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The choice of each outer group, and what each candidate and the choices are worth.

    Args:
      scores: rows of :func:`scores_of` with the columns :data:`CANDIDATE`.

    Returns:
      Rows ``model, group, regions, (candidate), inner, outer``: the candidate with the highest mean ``inner`` CCC over
      the regions of the other groups, and its mean CCC over the group's own regions. Rows ``model, (candidate), inner,
      outer, chosen``: means over all regions, and by how many outer groups each was chosen; with the candidate "each
      its own", whose ``outer`` is that of the choices.
    """
    # A diverged training has no CCC; a candidate that diverged counts as predicting nothing.
    values = scores.assign(ccc=scores["ccc"].fillna(0.0))
    key = ["model", *CANDIDATE]
    by_region: Any = values.groupby([*key, "beside", "region"])["ccc"].mean()
    inner: Any = by_region.groupby([*key, "beside"]).mean()
    outer: Any = values.groupby([*key, "group", "region"])["ccc"].mean()
    picked, table = [], []
    for model in dict.fromkeys(values["model"]):
        mine, own = inner[model], outer[model]
        for group in sorted(set(values["beside"])):
            at = mine.xs(group, level="beside")
            best = at.idxmax()
            if group not in set(own.index.get_level_values("group")):
                continue  # all of its regions have modelled SOC: there is nothing to score
            got = own[best].xs(group, level="group")
            picked.append((model, group + 1, ", ".join(got.index), *best, float(at[best]), float(got.mean()), len(got)))
        chosen = [row[3:7] for row in picked if row[0] == model]
        for candidate in dict.fromkeys(mine.index.droplevel("beside")):
            means = float(mine[candidate].mean()), float(own[candidate].mean())
            table.append((model, *candidate, *means, chosen.count(candidate)))
        rows = [row for row in picked if row[0] == model]
        nested = float(np.average([row[8] for row in rows], weights=[row[9] for row in rows]))
        table.append((model, "each its own", "", 0, 0, np.nan, nested, len(rows)))
    columns = ["model", "group", "regions", *CANDIDATE, "inner", "outer", "n"]
    worth = ["model", *CANDIDATE, "inner", "outer", "chosen"]
    return pd.DataFrame(picked, columns=pd.Index(columns)), pd.DataFrame(table, columns=pd.Index(worth))


def run_choice(config: ChooseConfig, folder: RunFolder, arguments: Sequence[str]) -> pd.DataFrame:
    """Trains what is not there yet, a run folder for each length, and returns the scores of all candidates."""
    limits.require(config, {"groups": limits.at_least(3)})
    found: list[pd.DataFrame] = []
    for place, (epochs, patience) in enumerate(config.lengths):
        train = dataclasses.replace(config.train, epochs=epochs, patience=patience)
        # Baselines have no length: the first run has them.
        one = dataclasses.replace(config, train=train, baselines=config.baselines if place == 0 else ())
        own = RunFolder(folder.path / f"epochs{epochs}-patience{patience}", "choose", "disabled")
        content = json.loads(json.dumps({"experiment": "choose", "config": dataclasses.asdict(one)}))
        refuse_or_accept(own, content, resume=own.path.exists(), overwrite=False)
        group_of: dict[str, int] = {}

        def split(library: Library, group_of: dict[str, int] = group_of) -> list[Split]:
            group_of |= region_groups(library.group("region"), config.groups)
            return pairs_out(library, group_of)

        prepared = prepare_study(one, split, grid=True)
        create(own, content, arguments, overwrite=False, precision=config.train.precision)
        run_study(one, own, prepared)
        scores = scores_of(pd.read_parquet(own.path / "predictions.parquet"), prepared.library, group_of)
        baseline = scores["model"].isin(config.baselines)
        length = {"epochs": np.where(baseline, 0, epochs), "patience": np.where(baseline, 0, patience)}
        found.append(scores.assign(**length))
    return pd.concat(found, ignore_index=True)


@dataclasses.dataclass(frozen=True)
class Options(ChooseConfig):
    """The candidates, and where their runs lie."""

    workdir: Path = Path("runs/choose")
    """Folder of the runs."""


def main(arguments: list[str]) -> int:
    """Runs the choice; returns the exit status."""
    import tyro

    default = load("region_out", EXPERIMENTS).config
    given = {name: getattr(default, name) for name in ("width", "components", "encoder", "twin", "train", "devices")}
    options = tyro.cli(Options, default=Options(**given), args=arguments)
    fields = {field.name: getattr(options, field.name) for field in dataclasses.fields(ChooseConfig)}
    try:
        with matmul_precision(options.train.precision):
            scores = run_choice(ChooseConfig(**fields), RunFolder(options.workdir, "choose", "disabled"), arguments)
    except (DataError, UsageError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    picked, worth = choices(scores)
    for name, frame in {"scores": scores, "choices": picked, "candidates": worth}.items():
        write_csv(options.workdir / f"{name}.csv", frame, float_format="%.6g")
    for frame in (picked, worth):
        print(frame.to_string(index=False, float_format="%.3f") + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
