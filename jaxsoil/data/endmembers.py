"""Libraries of mineral endmembers: reflectance, density and unit cell, with the provenance of every value.

Two sources give the same object: ``load_usgs`` reads measured spectra below JAXSOIL_DATA, ``twin_minerals``
evaluates the fitted parametric minerals that travel with the package. SOC is not a member: models append it as
the last endmember.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from jaxsoil.data.readers.table import read_table, require_column, spectral_values
from jaxsoil.data.root import DATA_VARIABLE, USGS_FOLDER, data_root
from jaxsoil.data.sources.prepare import is_prepared, load
from jaxsoil.physics import parametric_minerals, unit_cell
from jaxsoil.runs import require
from jaxsoil.runs.errors import DataError, did_you_mean
from jaxsoil.spectra.container import Spectra
from jaxsoil.spectra.resample import Resample

_SPECTRA_FILE = "endmembers_350_2500_1nm.parquet"
_PROPERTIES_FILE = "endmember_properties_clean.csv"

# A reflectance below this at every band is an uncertainty column; the darkest real mineral here peaks at 0.04.
_BROKEN_BELOW = 0.02
_SHEET_COLUMNS = ("component", "density_best", "unit_cell_nm", "crystal_system", "unit_cell_volume_nm3_sheet")
_SOURCED = ("spectrum", "density", "cell_volume")
# Computed and tabulated cell volumes that differ by more than this share are reported.
_VOLUME_TOLERANCE = 0.01


@dataclasses.dataclass(frozen=True, eq=False)
class EndmemberLibrary:
    """K minerals on a common axis.

    Args:
      names: K names, unique.
      spectra: K reflectances.
      density: (K,) rho, g cm-3.
      cell_volume: (K,) volume of the unit cell, nm3.
      provenance: name -> {"spectrum", "density", "cell_volume"} -> where the value comes from.
      exclusions: minerals of the source that are not here -> reason.
      notes: disagreements within the source, and what was done to the whole.
      source: where the minerals come from, in words.

    Raises:
      DataError: fewer than two minerals, lengths that differ, repeated names, values that are not positive.
    """

    names: tuple[str, ...]
    spectra: Spectra
    density: NDArray[np.float64]
    cell_volume: NDArray[np.float64]
    provenance: Mapping[str, Mapping[str, str]]
    exclusions: Mapping[str, str] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()
    source: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(self.names))
        object.__setattr__(self, "notes", tuple(self.notes))
        if len(self.names) < 2:
            value = f"{self.names}; excluded: {dict(self.exclusions)}"
            remedy = "Give a library with more minerals: with one, its abundance carries no information."
            raise DataError("a mixture needs at least two minerals", value=value, remedy=remedy)
        repeated = next((name for name in self.names if self.names.count(name) > 1), None)
        if repeated is not None:
            raise DataError("mineral names must be unique", value=repeated, remedy="Keep one of them.")
        self.spectra.require_quantity("reflectance")
        for field in ("density", "cell_volume"):
            values = np.array(getattr(self, field), dtype=np.float64)
            if values.shape != (len(self.names),) or not np.all(np.isfinite(values) & (values > 0)):
                remedy = "Exclude the minerals without one, with a reason."
                raise DataError("every mineral needs a positive value", column=field, value=values, remedy=remedy)
            values.flags.writeable = False
            object.__setattr__(self, field, values)
        spectra = {"spectra": self.spectra, "names": self.names}
        require.same_length(spectra, remedy="Give one spectrum for each mineral.")

    def __len__(self) -> int:
        return len(self.names)

    def __repr__(self) -> str:
        return f"EndmemberLibrary({len(self)} minerals, {self.spectra!r}, {len(self.exclusions)} excluded)"

    @property
    def r(self) -> NDArray[np.float64]:
        """Characteristic length V^(1/3), nm."""
        return np.cbrt(self.cell_volume)

    @property
    def rho_r(self) -> NDArray[np.float64]:
        """Density times characteristic length, g cm-3 nm."""
        return self.density * self.r

    def index(self, name: str) -> int:
        """Returns the row of a mineral; an unknown one raises DataError with the nearest name."""
        if name not in self.names:
            reason = self.exclusions.get(name)
            remedy = f"It was excluded: {reason}." if reason else did_you_mean(name, self.names)
            raise DataError("no such mineral", column=name, remedy=remedy)
        return self.names.index(name)

    def select(self, names: Sequence[str], *, reason: str = "not selected") -> EndmemberLibrary:
        """Returns the library of ``names``, in that order; the others join the exclusions with ``reason``."""
        rows = [self.index(name) for name in names]
        left_out = {name: reason for name in self.names if name not in set(names)}
        return dataclasses.replace(
            self,
            names=tuple(names),
            spectra=self.spectra[np.array(rows, dtype=int)],
            density=self.density[rows],
            cell_volume=self.cell_volume[rows],
            provenance={name: self.provenance.get(name, {}) for name in names},
            exclusions={**self.exclusions, **left_out},
        )

    def resample(self, axis: ArrayLike) -> EndmemberLibrary:
        """Returns the library on another axis (nm), each new band the mean over its width.

        Raises:
          DataError: an axis that the minerals do not cover; nothing is extrapolated.
        """
        target = np.asarray(axis, dtype=np.float64)
        own = self.spectra.axis
        if target.min() < own[0] - 1e-6 or target.max() > own[-1] + 1e-6:
            value = f"minerals {own[0]:g}-{own[-1]:g} nm, data {target.min():g}-{target.max():g} nm"
            remedy = f"Trim the data to {own[0]:g}-{own[-1]:g} nm, or give minerals that reach further."
            raise DataError("the minerals do not cover the axis of the data", value=value, remedy=remedy)
        return dataclasses.replace(self, spectra=Resample(axis=target, method="bandmean")(self.spectra))


def load_usgs(
    root: str | Path | None = None, *, densities: Mapping[str, tuple[float, str]] | None = None
) -> EndmemberLibrary:
    """Reads the measured minerals (USGS splib07) with the densities and unit cells of the sheet beside them.

    A mineral is excluded, with a reason, when its spectrum is broken (an uncertainty column) or repeats
    another's, or when it has no usable density or unit cell. A tabulated cell volume has precedence over one
    computed from the cell's edges, because misprinted edges occur (muscovite, brookite); disagreements are
    recorded in ``notes``.

    Args:
      root: folder of the measured data, by default JAXSOIL_DATA.
      densities: name -> (density in g cm-3, its source), for minerals whose density the sheet lacks.

    Raises:
      DataError: a file or column that is missing or cannot be read.
    """
    folder = (data_root() if root is None else Path(root)) / USGS_FOLDER
    for name in (_SPECTRA_FILE, _PROPERTIES_FILE):
        if not (folder / name).is_file():
            remedy = "Set JAXSOIL_DATA to the folder that holds them, or use the twin's minerals."
            raise DataError("the measured minerals are not there", source=folder / name, remedy=remedy)
    spectra = read_table(folder / _SPECTRA_FILE)
    # As text: a spreadsheet may have turned a range such as 2-3 into a date, which must be seen, not parsed.
    sheet = read_table(folder / _PROPERTIES_FILE, as_text=True)
    return read_endmembers(spectra, sheet, densities=densities, source=str(folder.name))


def read_endmembers(
    spectra: pd.DataFrame,
    sheet: pd.DataFrame,
    *,
    densities: Mapping[str, tuple[float, str]] | None = None,
    source: str = "table",
) -> EndmemberLibrary:
    """Builds the library from a table of spectra and a sheet of properties, excluding what cannot be used.

    Args:
      spectra: one row per mineral: ``mineral``, optionally ``instrument`` and ``flag``, and reflectances in
        columns named by their wavelength in nm.
      sheet: one row per mineral, as text: ``component``, ``density_best`` (g cm-3), ``unit_cell_nm``,
        ``crystal_system``, ``unit_cell_volume_nm3_sheet``.
      densities: as in ``load_usgs``.
      source: name of the source for messages.

    Raises:
      DataError: a column that is missing, a reflectance that is text, fewer than two usable minerals.
    """
    require_column(spectra, "mineral", Path(source))
    for column in _SHEET_COLUMNS:
        require_column(sheet, column, Path(source))
    bands = [column for column in spectra.columns if re.fullmatch(r"\d+(\.\d+)?", str(column))]
    values = spectral_values(spectra, bands, Path(source))
    rows_of_sheet = {row["component"].strip().lower(): row for row in sheet.to_dict("records")}
    given = {name.lower(): value for name, value in (densities or {}).items()}
    kept: list[tuple[str, NDArray, float, float, dict[str, str]]] = []
    exclusions: dict[str, str] = {}
    notes: list[str] = []
    for row, record in enumerate(spectra.drop(columns=bands).to_dict("records")):
        name = record["mineral"][:1].upper() + record["mineral"][1:]
        try:
            if not np.all(np.isfinite(values[row])):
                raise ValueError("spectrum has missing bands")
            if (brightest := values[row].max()) < _BROKEN_BELOW:
                problem = f"spectrum is broken: at most {brightest:.4f} everywhere"
                raise ValueError(f"{problem}, an uncertainty column taken for a spectrum")
            if twin := next((other for other, found, *_ in kept if np.array_equal(values[row], found)), None):
                raise ValueError(f"spectrum is a duplicate of {twin}'s, band for band")
            if (sheet_row := rows_of_sheet.get(name.lower())) is None:
                raise ValueError("no row in the sheet of properties")
            density, density_from = _density(sheet_row["density_best"], given.get(name.lower()))
            volume, volume_from, remarks = _volume(sheet_row)
        except ValueError as problem:
            exclusions[name] = str(problem)
            continue
        notes += [f"{name}: {note}" for note in remarks]
        parts = [source, "USGS splib07" if source == USGS_FOLDER else "", record.get("instrument"), record.get("flag")]
        where = ", ".join(str(part) for part in parts if part)
        sources = {"density": density_from, "cell_volume": volume_from, "spectrum": where}
        kept.append((name, values[row], density, volume, sources))
    names, spectrum, density, volume, provenance = zip(*kept, strict=True) if kept else ((),) * 5
    reflectance = np.array(spectrum).reshape(len(kept), len(bands))
    return EndmemberLibrary(
        names=names,
        spectra=Spectra(reflectance, np.array(bands, dtype=np.float64), "nm", "reflectance"),
        density=np.array(density),
        cell_volume=np.array(volume),
        provenance=dict(zip(names, provenance, strict=True)),
        exclusions=exclusions,
        notes=tuple(notes),
        source=f"USGS splib07, {source}" if source == USGS_FOLDER else source,
    )


def twin_minerals(axis: ArrayLike) -> EndmemberLibrary:
    """Returns the fitted parametric minerals of the package on ``axis`` (nm, within 350-2500)."""
    minerals = parametric_minerals.load_table()
    axis = np.asarray(axis, dtype=np.float64)
    return EndmemberLibrary(
        names=tuple(mineral.name for mineral in minerals),
        spectra=Spectra(parametric_minerals.band_reflectance(minerals, axis), axis, "nm", "reflectance"),
        density=np.array([mineral.density for mineral in minerals]),
        cell_volume=np.array([mineral.cell_volume for mineral in minerals]),
        provenance={mineral.name: mineral.provenance for mineral in minerals},
        notes=("Reflectances are fitted parametric curves, not measurements; residuals are in the table.",),
        source="fitted parametric minerals of the package",
    )


def public_minerals() -> EndmemberLibrary:
    """Returns measured minerals of the public library 'splib07', with the densities and unit cells of the package.

    Of several spectra of a mineral the first by name is taken, those of ASD spectrometers before Beckman's.

    Raises:
      DataError: a library that cannot be had, fewer than two minerals that the package knows.
    """
    library = load("splib07")
    order = np.lexsort((library.ids, library.group("source")))
    rows: dict[str, int] = {}
    for row in order.tolist():
        rows.setdefault(str(library.samples[row]).lower(), row)
    known = [one for one in parametric_minerals.load_table() if one.name.lower() in rows]
    chosen = [rows[one.name.lower()] for one in known]
    sources = [{"spectrum": f"splib07a, {library.ids[row]}"} for row in chosen]
    return EndmemberLibrary(
        names=tuple(one.name for one in known),
        spectra=library.spectra[np.array(chosen, dtype=int)],
        density=np.array([one.density for one in known]),
        cell_volume=np.array([one.cell_volume for one in known]),
        provenance={one.name: {**one.provenance, **own} for one, own in zip(known, sources, strict=True)},
        notes=library.notes,
        source="USGS splib07, as published",
    )


def best_minerals(axis: ArrayLike) -> EndmemberLibrary:
    """Returns measured minerals on their own axis where they are there, else the fitted ones on ``axis`` (nm).

    Measured are those below JAXSOIL_DATA, and without them those of 'splib07' where somebody prepared it.

    Raises:
      DataError: a JAXSOIL_DATA that names no folder, and measured minerals that are there but cannot be read: no
        other minerals take their place silently.
    """
    if os.environ.get(DATA_VARIABLE) and (data_root() / USGS_FOLDER).is_dir():
        return load_usgs()
    return public_minerals() if is_prepared("splib07") else twin_minerals(axis)


def as_table(minerals: EndmemberLibrary) -> pd.DataFrame:
    """Returns one row for each mineral: its constants, where each comes from, or why it was left out.

    Columns: mineral, density (g cm-3), cell_volume (nm3), rho_r (g cm-3 nm), one ``..._from`` for spectrum, density
    and cell volume, and left_out (the reason; such minerals have no numbers).
    """
    kept = pd.DataFrame({"mineral": minerals.names, "density": minerals.density, "cell_volume": minerals.cell_volume})
    sources = [minerals.provenance.get(name, {}) for name in minerals.names]
    sourced = {f"{key}_from": [found.get(key, "") for found in sources] for key in _SOURCED}
    kept = kept.assign(rho_r=minerals.rho_r, **sourced, left_out="")
    left_out = pd.DataFrame(minerals.exclusions.items(), columns=pd.Index(["mineral", "left_out"]))
    return pd.concat([kept, left_out], ignore_index=True)


def _density(cell: str, given: tuple[float, str] | None) -> tuple[float, str]:
    if given is not None:
        return float(given[0]), f"given by the caller: {given[1]}"
    text = cell.strip()
    if not text:
        raise ValueError("no density in the sheet")
    try:
        density = float(text)
    except ValueError:
        # '2-3' typed into a spreadsheet becomes the second of March; which range it was can only be guessed.
        is_date = re.search(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}|[A-Za-z]{3}", text)
        what = "a date (a spreadsheet's reading of a range)" if is_date else "not a number"
        raise ValueError(f"density cell holds {what}: {text!r}") from None
    if not 0.5 < density < 12.0:
        raise ValueError(f"density {density:g} g cm-3 is impossible for a soil mineral")
    return density, "sheet, best density (calculated where given, else measured)"


def _volume(sheet: Mapping[str, str]) -> tuple[float, str, list[str]]:
    edges, system = sheet["unit_cell_nm"].strip(), sheet["crystal_system"].strip()
    tabulated = float(sheet["unit_cell_volume_nm3_sheet"]) if sheet["unit_cell_volume_nm3_sheet"].strip() else None
    try:
        computed = unit_cell.cell_volume(edges, system)
    except ValueError as problem:
        if tabulated is None:
            raise ValueError(f"no cell volume: {problem}") from problem
        return tabulated, "sheet", [f"cell volume of the sheet could not be checked: {problem}"]
    if tabulated is None:
        return computed, f"computed from the cell {edges} nm, {system}", []
    if abs(computed / tabulated - 1) <= _VOLUME_TOLERANCE:
        return tabulated, "sheet, agrees with the cell's edges", []
    note = f"the sheet's volume {tabulated:g} nm3 is used; its cell {edges} nm gives {computed:.5f} nm3"
    return tabulated, "sheet, disagrees with the cell's edges", [note]
