"""Smoke runs on measured data whose numbers are stored, and the options that keep them short."""

from __future__ import annotations

MEASURED: dict[tuple[str, str], tuple[str, ...]] = {
    ("region_out", "fields"): (),
    ("baseline_split", "fields_vnir"): (),
    ("few_labels", "fields_vnir"): (),
    ("rho_r", "fields_vnir"): (),
    ("soc_spectrum", "soils_vnir"): (),
    ("multifidelity", "H.138_split"): (),
    ("fno", "H.138_split"): (),
    ("hybrid_dataset", "fields_mir"): (),
}  # fmt: skip
"""No measured set of two ranges has the three particle sizes that ilr needs. Edgeroi is left out: its map alone has
230,800 pixels, which no smoke size shortens."""
