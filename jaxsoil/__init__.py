"""jaxsoil: soil properties from spectra, in JAX.

The names that a user imports; each is loaded when it is first used, so that the package itself loads at once.

>>> import jaxsoil
>>> spectra = jaxsoil.Spectra([[0.2, 0.3]], [1000.0, 2000.0], "nm", "reflectance")
>>> spectra.n_bands
2
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jaxsoil.bundle.bundle import Bundle
    from jaxsoil.bundle.predict import predict, predict_files
    from jaxsoil.data.library import Library, Property
    from jaxsoil.data.registry import load, names
    from jaxsoil.data.splits import Split, region_out
    from jaxsoil.runs.errors import DataError, UsageError
    from jaxsoil.spectra.container import Spectra

__version__ = "0.1.0"

__all__ = [
    "Bundle", "DataError", "Library", "Property", "Spectra", "Split", "UsageError", "load", "names", "predict",
    "predict_files", "region_out",
]  # fmt: skip

_HOME = {
    "Bundle": "jaxsoil.bundle.bundle",
    "DataError": "jaxsoil.runs.errors",
    "Library": "jaxsoil.data.library",
    "Property": "jaxsoil.data.library",
    "Spectra": "jaxsoil.spectra.container",
    "Split": "jaxsoil.data.splits",
    "UsageError": "jaxsoil.runs.errors",
    "load": "jaxsoil.data.registry",
    "names": "jaxsoil.data.registry",
    "predict": "jaxsoil.bundle.predict",
    "predict_files": "jaxsoil.bundle.predict",
    "region_out": "jaxsoil.data.splits",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'jaxsoil' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
