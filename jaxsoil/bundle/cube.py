"""A hyperspectral image (ENVI) to a map of predictions (GeoTIFF), row by row: neither is ever held as a whole."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np

from jaxsoil.bundle.bundle import Bundle, Model
from jaxsoil.bundle.predict import Part, alarms_of, converted, run_part, usable
from jaxsoil.data.rasters.geotiff import new_geotiff
from jaxsoil.data.rasters.rasters import NODATA, Box, Grid, crs_text
from jaxsoil.data.readers.instruments import envi
from jaxsoil.evaluation.shift import intervals
from jaxsoil.spectra.container import Spectra

VALUES_AT_ONCE = 16_000_000
"""Numbers of the image that are held at a time (64 MB as float32)."""

FLAGGED = "flagged"
"""Band that is 1 where an alarm fires and 0 elsewhere."""


def predict_cube(
    bundle: Bundle,
    path: str | Path,
    out: str | Path,
    *,
    model: str | None = None,
    level: float = 0.875,
    quantity: str | None = None,
    unit: str | None = None,
    progress: bool = False,
) -> dict[str, int]:
    """Writes a GeoTIFF with value, low, high of each property and the band :data:`FLAGGED`.

    Intervals are those for a new region (:mod:`jaxsoil.evaluation.shift`), which need no weights and so no second
    pass. Pixels without data, or that cannot be preprocessed, have no value.

    Args:
      bundle, model: as in :func:`jaxsoil.bundle.predict.predict`.
      path: the header, or the image beside it.
      out: the GeoTIFF; it appears when it is whole.
      level: nominal; lowered to what the number of regions allows.
      quantity, unit: what the header does not say.
      progress: show a progress bar.

    Returns:
      Numbers of pixels: "pixels", "predicted", "flagged".

    Raises:
      DataError: the header or image is damaged, or its axis does not cover the bundle's.
    """
    from tqdm import tqdm

    chosen, image = bundle.model(model), envi.open(path, quantity=quantity, unit=unit)
    rows, samples, bands = image.shape
    # An axis that does not fit is told before a file is begun.
    converted(bundle, Spectra(np.full((1, bands), 0.2), image.axis, image.unit, image.quantity))
    names = {f"{target.name}{end}": target.unit for target in chosen.targets for end in ("", "_low", "_high")}
    step = max(1, VALUES_AT_ONCE // (samples * bands))
    counts = {"pixels": rows * samples, "predicted": 0, "flagged": 0}
    tags = {"bundle": bundle.name, "model": model or bundle.default, "warning": bundle.warning}
    with (
        new_geotiff(Path(out), _grid(image), {**names, FLAGGED: "1"}, NODATA, tags) as write,
        tqdm(total=rows, desc="predict", unit="row", disable=not progress, leave=False) as bar,
    ):
        for start in range(0, rows, step):
            stop = min(start + step, rows)
            made = np.full((len(names) + 1, (stop - start) * samples), np.nan, np.float32)
            block = image.tile(slice(start, stop)).reshape(-1, bands)
            full = np.flatnonzero(np.isfinite(block).all(axis=1))
            if full.size:
                spectra = Spectra(block[full], image.axis, image.unit, image.quantity)
                good = usable(spectra)[0]
                if good.any():
                    part = run_part(bundle, chosen, converted(bundle, spectra[good]))
                    made[:, full[good]] = _bands(bundle, chosen, part, level)
            counts["predicted"] += int(np.isfinite(made[0]).sum())
            counts["flagged"] += int(np.nansum(made[-1]))
            write(Box(start, 0, stop - start, samples), made.reshape(len(made), stop - start, samples))
            bar.update(stop - start)
    return counts


def _bands(bundle: Bundle, model: Model, part: Part, level: float) -> np.ndarray:
    """Bands (b, t) of the map: value, low and high of each property, then whether an alarm fires."""
    flagged = np.any(list(alarms_of(bundle, model, part).values()), axis=0)
    found = []
    for number, target in enumerate(model.targets):
        values, calibration = part.values[:, number], model.calibrations.get(target.name)
        flagged = flagged | target.outside(values)
        low = high = np.full(len(values), np.nan)
        if calibration is not None:
            ends = intervals(calibration, values, part.judged.scores, min(level, calibration.most), "region")
            low, high = (np.where(np.isfinite(end), end, np.nan) for end in (ends.low, ends.high))
        found += [values, low, high]
    return np.stack([*found, flagged.astype(np.float64)])


def _grid(image: envi.Image) -> Grid:
    """Where the pixels lie, by the header's map info; rows and columns alone where it has none."""
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning, RasterioIOError

    height, width, _ = image.shape
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        try:
            with rasterio.open(image.data) as file:
                return Grid(height, width, tuple(file.transform)[:6], crs_text(file.crs) if file.crs else "")
        except RasterioIOError:
            return Grid(height, width, (1.0, 0.0, 0.0, 0.0, 1.0, 0.0), "")
