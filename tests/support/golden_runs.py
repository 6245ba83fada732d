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
    # One network of each kind that trains on all layers at once; the map of 230,800 pixels by the mean.
    ("layer_transfer", "edgeroi"): (
        "--models", "mean", "rf", "multitask", "profile", "--splits", "blocks",
        "--map-split", "blocks", "--map-model", "mean",
    ),
}  # fmt: skip
"""No measured set of two ranges has the three particle sizes that ilr needs."""
