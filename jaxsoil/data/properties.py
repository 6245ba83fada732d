"""Names of soil properties: the unit in which data hold each, and the name that reports print."""

from __future__ import annotations

UNITS = {"tc": "%", "tn": "%", "ic": "%", "eoc": "%", "ph": "1", "cec": "cmol(+)/kg"}
UNITS |= {"clay": "%", "silt": "%", "sand": "%"}
"""Unit of each property of the multi-fidelity study, by mass (IC as CaCO3); in the order of its appendices."""

PROPERTIES = tuple(UNITS)
"""Total carbon, total nitrogen, inorganic carbon, estimated organic carbon, pH, exchange capacity, texture."""

TEXTURE = ("clay", "silt", "sand")
"""The size fractions; they sum to 100 %."""

STUDY_NAMES = {"soc": "eoc", "carbon": "tc", "nitrogen": "tn", "caco3": "ic", "ph": "ph", "cec": "cec"}
STUDY_NAMES |= {"clay": "clay", "silt": "silt", "sand": "sand"}
"""Label of a data set -> property of the multi-fidelity study."""

MOST_SOC = 60.0
"""Percent by mass: organic matter holds at most some 58 % carbon, so more SOC than this is another unit."""

LABELS = {
    "tc": "TC", "tn": "TN", "ic": "IC", "eoc": "EOC", "ph": "pH", "cec": "CEC", "clay": "Clay", "silt": "Silt",
    "sand": "Sand", "soc": "SOC", "carbon": "Carbon", "organic_matter": "Organic matter",
}  # fmt: skip
"""Name of each property in reports."""
