"""Prints each twin beside the measured sets: the tables of docs/data.md, as Markdown.

    python tools/compare_twins.py                     # all parts; measured sets where JAXSOIL_DATA has them
    python tools/compare_twins.py --part soil         # vis-NIR, and PLSR's skill by random split and by region out
    python tools/compare_twins.py --part infrared     # mid-infrared twins
    python tools/compare_twins.py --part properties   # infrared twin at the paper's size beside Appendix A
    python tools/compare_twins.py --part landscape    # layers of soil organic carbon

Deterministic; a minute or two. ``tools/likeness.py`` says what each number is and holds the ranges.
"""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy import stats

from jaxsoil.data import registry
from jaxsoil.data.library import Library
from jaxsoil.data.rasters import landscape
from jaxsoil.data.twin.infrared.config import InfraredTwinConfig
from jaxsoil.data.twin.infrared.make import make_infrared_twin, reference_values
from jaxsoil.data.twin.laboratories.make import LaboratoriesConfig, load_laboratories
from jaxsoil.data.twin.soil.make import make_twin
from jaxsoil.runs.errors import DataError
from jaxsoil.studies.multifidelity.report.published import PROPERTIES, summary

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tools import likeness

SOILS = ("SSP.460", "SC.93", "SL.125", "UL.120", "geeves", "csiro100", "raca99", "nirsoil")
INFRARED = ("NRW.115", "NRW.42", "NRW.62", "O.32", "H.138", "yamsys", "woodwell604", "bungoma140")
COMPOSITES = ("fields", "fields_vnir")
LANDSCAPES = ("edgeroi", "macedonia")
SETS = (("labelled", "KSSL"), ("paired", "Paired"), ("test", "NAPT"))
FINE = np.arange(366.0, 2500.0, 2.0)
"""Bands (nm) on which the noise of the soil twin is read: its own are wider than soils' bands are sharp."""


def main() -> None:
    """Prints the chosen part, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=sorted(PARTS), help="all if not given")
    chosen = parser.parse_args().part
    for name, part in PARTS.items():
        if chosen in (None, name):
            print(part() + "\n")


def soil() -> str:
    """The vis-NIR twin, each measured set, and the ranges; below it the skill."""
    twin = make_twin(axis=FINE)
    rows = {"`twin`": likeness.soil_row(twin)}
    rows |= {name: likeness.soil_row(library) for name, library in _measured(SOILS).items()}
    return _table(rows, likeness.SOIL_RANGES) + "\n\n" + skill(make_twin())


def skill(twin: Library) -> str:
    """PLSR by random split and by region out, and the correlation of clay and SOC by region."""
    lines = [
        "| data | R2, random split | R2, median region out | regions below 0 | worst | best | clay-SOC by region |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, library in {"`twin`": twin, **_measured(COMPOSITES)}.items():
        region = library.group("region")
        out = np.array(list(likeness.plsr_skill(library, folds=region).values()))
        clay = [likeness.property_row(library.select(region == each))["clay_soc"] for each in np.unique(region)]
        cells = [likeness.random_skill(library), np.median(out)]
        lines.append(
            f"| {name} | {cells[0]:.2f} | {cells[1]:.2f} | {np.sum(out < 0)} of {out.size} | {out.min():.2f} | "
            f"{out.max():.2f} | {np.nanmin(clay):.2f} to {np.nanmax(clay):.2f} |"
        )
    return "\n".join(lines)


def infrared() -> str:
    """The mid-infrared twins, each measured set, and the ranges."""
    small = InfraredTwinConfig(samples=600, repeats=1, labelled=600, pairs=10, mir_step=4.0)
    laboratories = load_laboratories(LaboratoriesConfig())
    data = make_infrared_twin(small)
    rows = {
        "`infrared_twin`": likeness.infrared_row(data.labelled.spectra),
        "its test set": likeness.infrared_row(data.test_mir.spectra),
        "`laboratories`": likeness.infrared_row(laboratories.spectra[laboratories.truth.spoiled == ""]),
    }
    rows |= {name: likeness.infrared_row(library.spectra) for name, library in _measured(INFRARED).items()}
    return _table(rows, likeness.INFRARED_RANGES)


def layers() -> str:
    """SOC in depth layers: the twin beside measured profiles (edgeroi is a density)."""
    rows = {}
    for name in (landscape.TWIN, *(each for each in LANDSCAPES if each in landscape.names())):
        try:
            sites = landscape.load(name).sites
        except DataError as error:
            print(f"({name}: {error.problem})")
            continue
        rows[f"{name} ({sites.unit})"] = likeness.layer_row(sites.values)
    return _table(rows, {})


def properties() -> str:
    """Mean, SD and skewness of the infrared twin at the paper's size / of Appendix A, set by set."""
    made = reference_values(InfraredTwinConfig.paper())
    lines = ["| property | labelled / KSSL | paired / Paired | test / NAPT |", "|---|---|---|---|"]
    for name, (label, unit) in PROPERTIES.items():
        cells = []
        for ours, theirs in SETS:
            values, published = made[ours][name], summary(name, theirs)
            assert published is not None
            mean, sd, skewness = float(np.mean(values)), float(np.std(values, ddof=1)), float(stats.skew(values))
            cells.append(
                f"{mean:.2f} / {published.mean:.2f}, {sd:.2f} / {published.sd:.2f}, "
                f"{skewness:.1f} / {published.skewness:.1f}"
            )
        lines.append(f"| {label} ({unit}) | {' | '.join(cells)} |")
    return "\n".join(lines)


def _measured(names: Sequence[str]) -> dict[str, Library]:
    """The sets that are here; the others are named on a line of their own."""
    found = {}
    for name in names:
        try:
            found[name] = registry.load(name)
        except DataError as error:
            print(f"({name}: {error.problem})")
    return found


def _table(rows: Mapping[str, Mapping[str, float]], ranges: Mapping[str, tuple[float, float]]) -> str:
    """A line for each number, a column for each set; a number outside its range bears a star."""
    lines = [f"| | {' | '.join(rows)} | range |", f"|---{'|---' * len(rows)}|---|"]
    for key in next(iter(rows.values())):
        low, high = ranges.get(key, (-np.inf, np.inf))
        cells = [_number(row[key]) + ("*" if row[key] < low or row[key] > high else "") for row in rows.values()]
        limits = f"{low:g} to {high:g}" if key in ranges else ""
        lines.append(f"| {key} | {' | '.join(cells)} | {limits} |")
    return "\n".join(lines)


def _number(value: float) -> str:
    if np.isnan(value):
        return "-"
    return f"{value:.0f}" if value == round(value) and abs(value) >= 1 else f"{value:.2g}"


PARTS: dict[str, Callable[[], str]] = {
    "soil": soil,
    "infrared": infrared,
    "landscape": layers,
    "properties": properties,
}

if __name__ == "__main__":
    main()
