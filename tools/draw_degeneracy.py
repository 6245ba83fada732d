"""Draws the figure of docs/soc_spectrum.md: ``python tools/draw_degeneracy.py [FOLDER]`` (default docs/figures)."""

import sys
from pathlib import Path

from jaxsoil.data.twin.soil.make import reference_twin
from jaxsoil.report.style import save
from jaxsoil.studies.reconstruction.soc_spectrum.report.figures import degeneracy_figure
from jaxsoil.studies.reconstruction.soc_spectrum.unmixing import degenerate_solutions

if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1] / "docs" / "figures"
    # The minerals of the package, so that the figure is the same everywhere.
    library = reference_twin(2000, minerals="fitted", minerals_left_out=("Montmorillonite", "Beidellite"))
    found = degenerate_solutions(library.truth)
    for c, difference, feasible in zip(found.soc_rho_r, found.difference, found.feasible, strict=True):
        print(f"c = {c:.3f}: |R' - R| <= {difference:.1e}, all masses >= 0 in {feasible:.1%} of the soils")
    print(save(degeneracy_figure(found.arrays()), folder, "degeneracy"))
