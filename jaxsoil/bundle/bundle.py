"""Bundle: fitted models with everything that a prediction takes and that its reader should know, in one folder.

``bundle.json`` holds facts, ``arrays.npz`` numbers, ``card.md`` says in words what the bundle is. Loading runs no code:
arrays are plain, facts are JSON, and a checksum over both must hold.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import os
import shutil
import struct
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

import jaxsoil
from jaxsoil.bundle import predictors
from jaxsoil.bundle.predictors import Predictor
from jaxsoil.data.licences import NO_DERIVATIVES, NONCOMMERCIAL, terms
from jaxsoil.evaluation.domain import Domain
from jaxsoil.evaluation.shift import Calibration
from jaxsoil.runs import require
from jaxsoil.runs.errors import DataError, intact
from jaxsoil.runs.files import read_arrays, read_json, write_arrays, write_json, write_text_atomic
from jaxsoil.runs.folder import RECORDED, version
from jaxsoil.spectra.container import QUANTITIES, UNITS, check_axis
from jaxsoil.spectra.resample import Resample

FORMAT = 1
"""Version of the layout; a bundle of a later one is refused."""

FACTS, ARRAYS, CARD = "bundle.json", "arrays.npz", "card.md"
NO_BUNDLE = "no_bundle.txt"  # stands in its place where the licence of the data forbids one

STEPS = ("absorbance", "snv")
"""Preprocessing that a model may ask for: steps that act on each spectrum alone."""

AGAIN = "Fetch the bundle again, or make it anew by running its study with --overwrite."

TWIN_WARNING = "Trained on synthetic soils: this model knows no real soil, and its numbers say nothing about one."
NONCOMMERCIAL_WARNING = "The licence of the training data allows no commercial use: the same holds for this model."

_FORBIDDEN = "the licence of the data allows no derived works, and a fitted model that is handed on is one"

_MOST_JSON = 64 << 20

_CACHED = 128
"""Rows of spectra that stay in a core's cache from one step to the next."""


@dataclasses.dataclass(frozen=True)
class Target:
    """A property that a model predicts.

    Attributes:
      name, unit: as in the training data.
      low, high: between which 95 % of the training values lie; a prediction outside is an extrapolation.
      scale: "log10" or "unit", on which intervals are made and their width is judged.
    """

    name: str
    unit: str
    low: float
    high: float
    scale: str = "log10"

    @classmethod
    def of(cls, name: str, unit: str, values: np.ndarray, scale: str = "log10") -> Target:
        """The target whose (n,) training values are given; those that were not measured are NaN."""
        low, high = (float(v) for v in np.nanquantile(values, [0.025, 0.975]))
        return cls(name, unit, low, high, scale)

    def outside(self, values: np.ndarray) -> np.ndarray:
        """Which predictions (t,) lie beyond most of the training values."""
        return ~((values >= self.low) & (values <= self.high))

    def uninformative(self, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        """Which intervals (t,) are no narrower than the range of most of the training values."""
        if self.scale == "log10":
            with np.errstate(divide="ignore", invalid="ignore"):
                return ~(np.log10(high) - np.log10(low) < np.log10(self.high) - np.log10(max(self.low, 1e-12)))
        return ~(high - low < self.high - self.low)


@dataclasses.dataclass(frozen=True, eq=False)
class Model:
    """A fitted model of a bundle.

    Attributes:
      predictor: what predicts.
      steps: names of :data:`STEPS` that prepare its spectra.
      targets: properties, in the order of the predictor's.
      calibrations: property -> residuals on regions, folds or laboratories that had not been seen.
      scores: rows {"property", "split", "region", "scale", "metric", "value", "unit"} on held-out data.
      rebuilt_limit: critical limit of the reconstruction error; None without a decoder.
    """

    predictor: Predictor
    steps: tuple[str, ...]
    targets: tuple[Target, ...]
    calibrations: Mapping[str, Calibration]
    scores: tuple[Mapping[str, Any], ...] = ()
    rebuilt_limit: float | None = None

    def mean_ccc(self, **keys: str) -> float:
        """Mean of the finite CCC among the scores, of those with these keys; minus infinity where there is none."""
        wanted = {**keys, "metric": "ccc"}
        found = [row["value"] for row in self.scores if all(row[name] == value for name, value in wanted.items())]
        found = [value for value in found if np.isfinite(value)]
        return float(np.mean(found)) if found else -np.inf


@dataclasses.dataclass(frozen=True, eq=False)
class Bundle:
    """Models of one kind of spectra.

    Attributes:
      name: such as "region_out-fields".
      axis, unit, quantity: (m,) bands of the spectra that models take, "nm" or "cm-1", "reflectance" or "absorbance".
      models: by name.
      default: name of the model that predicts unless another is asked for.
      domain: of the training spectra, as absorbance after SNV, and of the level that SNV takes away.
      data: what the data card says: name, rows, licence, notes, checksum.
      study: experiment, command, and what was held out for the scores.
      twin: whether it was trained on synthetic soils.
      software: versions that made it.
    """

    name: str
    axis: np.ndarray
    unit: str
    quantity: str
    models: Mapping[str, Model]
    default: str
    domain: Domain
    data: Mapping[str, Any]
    study: Mapping[str, Any]
    twin: bool
    software: Mapping[str, str] = dataclasses.field(default_factory=lambda: versions())

    def __post_init__(self) -> None:
        require.known(self.unit, UNITS, "unknown unit")
        require.known(self.quantity, QUANTITIES[:2], "unknown quantity")
        check_axis(np.asarray(self.axis))
        object.__setattr__(self, "models", MappingProxyType(dict(self.models)))
        self.model(self.default)

    def model(self, name: str | None = None) -> Model:
        """A model by name, None for the default one; an unknown name raises DataError with the nearest."""
        chosen = name or self.default
        require.known(chosen, self.models, "the bundle has no such model", source=self.name)
        return self.models[chosen]

    @functools.cached_property
    def resample(self) -> Resample:
        """Brings spectra in the bundle's unit to its axis."""
        return Resample(self.axis, self.unit)

    @property
    def warning(self) -> str:
        """What a reader of its predictions must know, "" where there is nothing."""
        limited = NONCOMMERCIAL in terms(str(self.data.get("licence") or ""))
        return " ".join([TWIN_WARNING] * self.twin + [NONCOMMERCIAL_WARNING] * limited)

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Writes the bundle into a folder, whole or not at all; an earlier bundle there is replaced.

        Raises:
          DataError: the folder holds something else, or the licence of the data forbids derived works.
        """
        from jaxsoil.bundle.describe import card

        target, licence = Path(folder), str(self.data.get("licence") or "")
        if NO_DERIVATIVES in terms(licence):
            remedy = "Leave those data out, or ask their owner and state under `licence` what was granted."
            raise DataError(_FORBIDDEN, source=self.name, column="licence", value=licence, remedy=remedy)
        if target.exists() and any(target.iterdir()) and not (target / FACTS).exists():
            remedy = "Choose a new or empty folder."
            raise DataError("the folder holds something else than a bundle", source=target, remedy=remedy)
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as place:
            made = Path(place) / "bundle"
            made.mkdir()
            write_arrays(made / ARRAYS, self._arrays())
            facts = self._facts() | {"arrays_sha256": _sha256((made / ARRAYS).read_bytes())}
            write_json(made / FACTS, facts | {"sha256": checksum(facts)})
            write_text_atomic(made / CARD, card(self))
            if target.exists():
                shutil.rmtree(target)
            os.replace(made, target)
        return target

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Bundle:
        """Reads a bundle.

        Raises:
          DataError: there is none, it was altered, it is not complete, or a newer version wrote it.
        """
        source = Path(folder)
        source = source.parent if source.name == FACTS else source
        facts = _read_facts(source)
        with intact("the bundle is not complete", source=source, remedy=AGAIN):
            try:
                return cls._of(facts, _read_arrays(source, facts))
            except DataError as error:
                if error.source:
                    raise
                said: Any = {"column": error.column, "value": error.value, "remedy": error.remedy}
                raise DataError(error.problem, source=source, **said) from error

    def _arrays(self) -> dict[str, np.ndarray]:
        found: dict[str, np.ndarray] = {"axis": np.asarray(self.axis, np.float64)}
        found |= _under("domain", self.domain.arrays())
        for name, model in self.models.items():
            found |= _under(f"models/{name}/predictor", model.predictor.arrays())
            for target, calibration in model.calibrations.items():
                found |= _under(f"models/{name}/calibrations/{target}", calibration.arrays())
        return found

    def _facts(self) -> dict[str, Any]:
        models = {
            name: {
                "kind": model.predictor.kind,
                "predictor": model.predictor.facts(),
                "steps": list(model.steps),
                "targets": [dataclasses.asdict(target) for target in model.targets],
                "calibrations": {target: found.facts() for target, found in model.calibrations.items()},
                "scores": [dict(row) for row in model.scores],
                "rebuilt_limit": model.rebuilt_limit,
            }
            for name, model in self.models.items()
        }
        plain = ("name", "unit", "quantity", "default", "twin")
        return {
            "format": FORMAT,
            **{name: getattr(self, name) for name in plain},
            **{name: dict(getattr(self, name)) for name in ("data", "study", "software")},
            "models": models,
        }

    @classmethod
    def _of(cls, facts: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Bundle:
        axis = np.asarray(arrays["axis"], np.float64)
        models = {}
        for name, own in facts["models"].items():
            targets = tuple(Target(**target) for target in own["targets"])
            models[name] = Model(
                predictors.read(own["kind"], _below(f"models/{name}/predictor", arrays), own["predictor"]),
                _steps(own["steps"]),
                targets,
                {
                    target: Calibration.read(_below(f"models/{name}/calibrations/{target}", arrays), found)
                    for target, found in own["calibrations"].items()
                },
                tuple(own["scores"]),
                None if own["rebuilt_limit"] is None else float(own["rebuilt_limit"]),
            )
        domain = Domain.read(_below("domain", arrays))
        if domain.space.mean.shape != axis.shape:
            raise DataError("the domain does not belong to the axis", value=domain.space.mean.shape, remedy=AGAIN)
        return cls(
            str(facts["name"]), axis, facts["unit"], facts["quantity"], models, facts["default"], domain,
            facts["data"], facts["study"], bool(facts["twin"]), facts["software"],
        )  # fmt: skip


def score_rows(scores: pd.DataFrame) -> tuple[dict[str, Any], ...]:
    """Rows of a table as :attr:`Model.scores` has them."""
    return tuple({str(name): value for name, value in row.items()} for row in scores.to_dict("records"))


def forbidden(licence: str, folder: Path) -> bool:
    """Whether the licence of the data forbids a bundle; :data:`NO_BUNDLE` in the folder then says so."""
    if NO_DERIVATIVES not in terms(licence):
        return False
    write_text_atomic(folder / NO_BUNDLE, f"No bundle: {_FORBIDDEN}.\nLicence: {licence}\n")
    print(f"No bundle is written: {_FORBIDDEN} (licence: {licence}).")
    return True


def prepared(values: np.ndarray, steps: tuple[str, ...], quantity: str) -> np.ndarray:
    """Spectra (t, m) float32 as a model takes them, float32.

    The steps are those of :mod:`jaxsoil.spectra.preprocess` in the precision of the spectra, which takes a third of
    the time: predictions are read to three digits.
    """
    logarithm, snv = "absorbance" in steps and quantity == "reflectance", "snv" in steps
    if not (logarithm or snv):
        return values
    found = np.empty(values.shape, np.float32)
    for start in range(0, len(values), _CACHED):
        rows = values[start : start + _CACHED]
        part = found[start : start + _CACHED]
        if logarithm:
            np.log(rows, out=part)
            part *= np.float32(-1.0 / np.log(10.0))
            rows = part
        if snv:
            np.subtract(rows, rows.mean(axis=1, keepdims=True), out=part)
            part *= np.sqrt((part.shape[1] - 1) / np.einsum("ij,ij->i", part, part))[:, None]
    return found


def versions() -> dict[str, str]:
    """Versions of jaxsoil and of the packages that a fit depends on, as far as they are installed."""
    return {"jaxsoil": jaxsoil.__version__} | {name: found for name in RECORDED[1:] if (found := version(name))}


def _read_facts(source: Path) -> dict[str, Any]:
    path = source / FACTS
    if not path.is_file():
        found = sorted(source.glob(f"**/{FACTS}"))[:9] if source.is_dir() else []
        inside = ", ".join(str(one.parent.relative_to(source)) for one in found)
        remedy = f"Bundles in it: {inside}." if inside else "Give the folder with bundle.json, such as RUN/bundle."
        raise DataError("there is no bundle here", source=source, remedy=remedy)
    if path.stat().st_size > _MOST_JSON:
        raise DataError("the facts of a bundle are not as large as this", source=path, remedy=AGAIN)
    facts = read_json(path, remedy=AGAIN)
    written = facts.get("format")
    if not isinstance(written, int) or isinstance(written, bool) or written < 1:
        raise DataError("this is no bundle", source=path, value=f"format {written!r}", remedy=AGAIN)
    if written > FORMAT:
        software = facts.get("software")
        by = software.get("jaxsoil", "unknown") if isinstance(software, dict) else "unknown"
        value = f"format {written}, jaxsoil {by}; this one reads format {FORMAT}"
        problem = "the bundle was written by a newer version of jaxsoil"
        raise DataError(problem, source=path, value=value, remedy="Install a newer jaxsoil.")
    said = facts.pop("sha256", None)
    if said != checksum(facts):
        raise DataError("the bundle was altered: its checksum does not hold", source=path, remedy=AGAIN)
    return facts


def _read_arrays(source: Path, facts: Mapping[str, Any]) -> dict[str, np.ndarray]:
    path = source / ARRAYS
    if not path.is_file():
        raise DataError("the bundle lacks its arrays", source=path, remedy=AGAIN)
    content = path.read_bytes()
    if _sha256(content) != facts["arrays_sha256"]:
        problem = "the arrays of the bundle were altered: their checksum does not hold"
        raise DataError(problem, source=path, remedy=AGAIN)
    try:
        with zipfile.ZipFile(path) as archive:
            stored = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, RuntimeError, struct.error) as error:
        problem = "the arrays of the bundle cannot be read"
        raise DataError(problem, source=path, value=str(error), remedy=AGAIN) from error
    # What a bundle writes is stored as it is: anything else could unpack to more than the memory holds.
    packed = any(entry.compress_type != zipfile.ZIP_STORED for entry in stored)
    if packed or sum(entry.file_size for entry in stored) > len(content):
        raise DataError("the arrays of the bundle are packed", source=path, remedy=AGAIN)
    return read_arrays(path, remedy=AGAIN)


def _steps(names: list[str]) -> tuple[str, ...]:
    for name in names:
        require.known(name, STEPS, "unknown preprocessing step")
    return tuple(names)


def _under(name: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {f"{name}/{key}": values for key, values in arrays.items()}


def _below(name: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {key.removeprefix(f"{name}/"): values for key, values in arrays.items() if key.startswith(f"{name}/")}


def checksum(facts: Mapping[str, Any]) -> str:
    """SHA-256 of facts, whatever the order of their keys."""
    return _sha256(json.dumps(facts, sort_keys=True, ensure_ascii=True).encode())


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
