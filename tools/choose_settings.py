"""Chooses input, SOC loss and training length of region_out by leaving out training regions.

python tools/choose_settings.py --data fields --workdir runs/choose-fields
python tools/choose_settings.py --data twin --twin.n-bands 107 --groups 6 --workdir runs/choose-twin
python tools/choose_settings.py --data fields --input snv --loss log --lengths 30 6 60 8 120 12 --workdir runs/length

Writes scores.csv, choices.csv and candidates.csv into the folder and prints the last two; the same command goes on
where it was interrupted. docs/comparisons.md has the tables that the defaults came from.
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

from jaxsoil.experiments import load
from jaxsoil.runs.errors import DataError, UsageError
from jaxsoil.runs.files import write_csv
from jaxsoil.runs.folder import RunFolder
from jaxsoil.studies.reconstruction.choose import ChooseConfig, choices, run_choice
from jaxsoil.training.devices import matmul_precision

EXPERIMENTS = Path(__file__).resolve().parent.parent / "experiments"


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
