"""Fits the parametric minerals of the package to the measured minerals below JAXSOIL_DATA.

    JAXSOIL_DATA=/path/to/data python tools/fit_parametric_minerals.py

writes jaxsoil/physics/tables/parametric_minerals.json and prints the residuals. Deterministic; under a minute.

Each mineral is fitted on 350-2500 nm with the equation of ``jaxsoil.physics.parametric_minerals``: absorptions are
added two at a time where they lower the residual most (matching pursuit over a grid of centres and widths),
and after each addition everything is refined by bounded least squares on the reflectance.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from jaxsoil.data.endmembers import EndmemberLibrary, load_usgs
from jaxsoil.physics import parametric_minerals
from jaxsoil.runs.files import write_text_atomic

TABLE = Path(parametric_minerals.__file__).parent / "tables" / parametric_minerals.TABLE

# The sheet lacks these two: a spreadsheet reads a range such as 2-3 as a date. The middle of the range is taken,
# as the sheet does for the other measured ranges.
DENSITIES = {
    "Montmorillonite": (2.5, "middle of the measured range 2-3 g cm-3, Handbook of Mineralogy"),
    "Beidellite": (2.5, "that of montmorillonite, the same group of smectites"),
}

DEGREE = 3
TARGET_RMS = 0.0015  # reflectance; the study's loss assumes a noise of 0.01
MOST_BANDS = 28
STEP = 2  # nm between the points of the fit; the instruments resolve 3 nm at best
LOWER, UPPER = (150.0, 6.0, 0.0), (2800.0, 500.0, 8.0)  # centre (nm), width (nm), depth (ln R)


def main() -> None:
    """Fits every usable mineral, writes the table and prints the distribution of the residuals."""
    minerals = load_usgs(densities=DENSITIES)
    entries = [_entry(minerals, row) for row in range(len(minerals))]
    table = {
        "about": "ln R = Legendre continuum - sum depth exp(-(x - centre)^2 / (2 width^2)); nm; see the module",
        "source": "fitted to USGS splib07 (US government work) and its published sheet of densities and cells",
        "window_nm": [parametric_minerals.LOW, parametric_minerals.HIGH],
        "excluded": dict(minerals.exclusions),
        "notes": list(minerals.notes),
    }
    lines = ",\n".join(json.dumps(entry, ensure_ascii=False) for entry in entries)
    head = json.dumps(table, ensure_ascii=False, indent=1)[:-2]
    write_text_atomic(TABLE, f'{head},\n "minerals": [\n{lines}\n]}}\n')
    rms = np.array([entry["rms"] for entry in entries])
    for entry in sorted(entries, key=lambda entry: -entry["rms"])[:10]:
        print(f"{entry['name']:20s} {len(entry['bands']):3d} bands  rms {entry['rms']:.4f}")
    shares = " ".join(f"{q}%: {np.percentile(rms, q):.4f}" for q in (10, 50, 75, 90, 100))
    print(f"{rms.size} minerals, residual rms {shares}; above 0.01: {np.sum(rms > 0.01)}", file=sys.stderr)


def _entry(minerals: EndmemberLibrary, row: int) -> dict[str, Any]:
    name = minerals.names[row]
    axis, measured = minerals.spectra.axis, minerals.spectra.values[row].astype(np.float64)
    continuum, bands = fit(axis[::STEP], measured[::STEP])
    # Rounded before the residual is taken, so that the table states the residual of its own numbers.
    continuum = np.round(continuum, 5)
    bands = bands[np.argsort(bands[:, 0])]
    bands = np.column_stack([np.round(bands[:, :2], 2), np.round(bands[:, 2], 5)])
    residual = parametric_minerals.reflectance(continuum, bands, axis) - measured
    return {
        "name": name,
        "density": float(minerals.density[row]),
        "cell_volume": round(float(minerals.cell_volume[row]), 6),
        "continuum": continuum.tolist(),
        "bands": bands.tolist(),
        "rms": round(float(np.sqrt(np.mean(residual**2))), 5),
        "provenance": {**minerals.provenance[name], "spectrum": f"fit to {minerals.provenance[name]['spectrum']}"},
    }


def fit(axis: NDArray[np.float64], measured: NDArray[np.float64]) -> tuple[NDArray, NDArray]:
    """Returns the continuum (p,) and the absorptions (b, 3) of one spectrum."""
    candidates = _candidates()
    shapes = np.exp(-0.5 * ((axis[:, None] - candidates[:, 0]) / candidates[:, 1]) ** 2)
    continuum = np.concatenate([[np.log(measured.max())], np.zeros(DEGREE)])
    bands = np.zeros((0, 3))
    while True:
        residual = parametric_minerals.reflectance(continuum, bands, axis) - measured
        if np.sqrt(np.mean(residual**2)) < TARGET_RMS or len(bands) >= MOST_BANDS:
            return continuum, bands
        for _ in range(2):
            bands = np.vstack([bands, _best_band(continuum, bands, axis, measured, candidates, shapes)])
        continuum, bands = _refine(continuum, bands, axis, measured)


def _candidates() -> NDArray[np.float64]:
    centres = np.arange(200.0, 2640.0, 10.0)
    widths = np.array([8.0, 12.0, 18.0, 27.0, 40.0, 60.0, 90.0, 140.0, 220.0, 350.0])
    grid = np.stack(np.meshgrid(centres, widths), axis=-1).reshape(-1, 2)
    inside = (grid[:, 0] >= parametric_minerals.LOW) & (grid[:, 0] <= parametric_minerals.HIGH)
    # Outside the window only the wing of a broad band can be seen.
    return grid[inside | (grid[:, 1] > 30.0)]


def _best_band(continuum, bands, axis, measured, candidates, shapes) -> NDArray[np.float64]:
    """Returns the absorption that lowers the squared residual most, to first order in its depth."""
    model = parametric_minerals.reflectance(continuum, bands, axis)
    change = model[:, None] * shapes
    along = change.T @ (model - measured)
    norm = np.sum(change**2, axis=0)
    best = int(np.argmax(np.where(along > 0, along**2 / norm, 0.0)))
    return np.array([*candidates[best], np.clip(along[best] / norm[best], 0.005, 2.0)])


def _refine(continuum, bands, axis, measured) -> tuple[NDArray, NDArray]:
    count = len(bands)
    scaled = (axis - (parametric_minerals.LOW + parametric_minerals.HIGH) / 2) / (
        (parametric_minerals.HIGH - parametric_minerals.LOW) / 2
    )
    polynomials = np.polynomial.legendre.legvander(scaled, DEGREE)

    def split(p):
        return p[: DEGREE + 1], p[DEGREE + 1 :].reshape(count, 3)

    def residual(p):
        return parametric_minerals.reflectance(*split(p), axis) - measured

    def jacobian(p):
        own, absorptions = split(p)
        model = parametric_minerals.reflectance(own, absorptions, axis)[:, None]
        z = (axis[:, None] - absorptions[:, 0]) / absorptions[:, 1]
        shape = model * np.exp(-0.5 * z**2)
        tilt = -absorptions[:, 2] * shape * z / absorptions[:, 1]
        by_band = np.stack([tilt, tilt * z, -shape], axis=-1).reshape(axis.size, -1)
        return np.hstack([model * polynomials, by_band])

    lower = np.concatenate([np.full(DEGREE + 1, -6.0), np.tile(LOWER, count)])
    upper = np.concatenate([np.full(DEGREE + 1, 6.0), np.tile(UPPER, count)])
    start = np.clip(np.concatenate([continuum, bands.ravel()]), lower + 1e-6, upper - 1e-6)
    scale = np.concatenate([np.full(DEGREE + 1, 0.3), np.tile([30.0, 20.0, 0.2], count)])
    found = least_squares(
        residual,
        start,
        jac=jacobian,  # pyright: ignore[reportArgumentType]
        bounds=(lower, upper),
        x_scale=scale,
        max_nfev=60 if count < MOST_BANDS else 200,
    )
    return split(found.x)


if __name__ == "__main__":
    main()
