"""A small library of two laboratories whose carbon follows from its spectra."""

from __future__ import annotations

import numpy as np

from jaxsoil.data.library import Library, Property
from jaxsoil.spectra.container import Spectra


def library(n: int = 90, m: int = 40, seed: int = 0, transfer: int = 6, **changes) -> Library:
    """Absorbance of ``n`` soils, two thirds in A and the rest in B, ``transfer`` of them in both."""
    rng = np.random.default_rng(seed)
    carbon = np.exp(rng.normal(2.5, 0.9, n))
    shapes = np.cumsum(rng.normal(size=(5, m)), axis=1)
    amounts = np.column_stack([np.log(carbon), rng.normal(size=(n, 4))])
    spectra = 2.0 + 0.1 * amounts @ shapes + 0.003 * rng.normal(size=(n, m))
    soil = np.concatenate([np.arange(n), np.arange(transfer)])
    lab = np.array(["A"] * (2 * n // 3) + ["B"] * (n - 2 * n // 3) + ["B"] * transfer)
    values = spectra[soil] + np.where(lab == "B", 0.1, 0.0)[:, None] * np.linspace(0.0, 1.0, m)
    measured = np.where(soil % 5 == 0, np.nan, carbon[soil])
    properties = {"carbon": Property(changes.pop("carbon", measured), changes.pop("unit", "g/kg"))}
    content = {
        "name": "small",
        "spectra": Spectra(changes.pop("values", values), 600.0 + 8.0 * np.arange(m), "cm-1", "absorbance"),
        "ids": np.array([f"{lab[row]}-{soil[row]}" for row in range(soil.size)]),
        "properties": properties | changes.pop("properties", {}),
        "groups": {"sample": np.array([f"s{k}" for k in soil]), "laboratory": lab},
    }
    return Library(**(content | changes))
