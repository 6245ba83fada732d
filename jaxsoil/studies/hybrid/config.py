"""Configuration of the hybrid data set."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

from jaxsoil.data.twin.laboratories.config import LaboratoriesConfig
from jaxsoil.models.config import Activation
from jaxsoil.training.config import LoopConfig

Method = Literal["none", "centre", "direct"]

PAPER: dict[str, Any] = {
    "samples": "about 57,000",
    "carbon, measured": "51,079",
    "organic_matter, measured": "5,750",
    "split": "not stated",
    "network": "a CNN, not described further",
    "harmonisation": "not described further",
}
"""What the abstract states of the study's settings."""


@dataclasses.dataclass(frozen=True)
class NetworkConfig:
    """Shape of the convolutional network; the abstract describes none."""

    features: tuple[int, ...] = (8, 16, 32)
    """Channels of the convolutions, each of stride 2."""
    kernel: int = 7
    """Bands that a convolution sees."""
    width: int = 64
    """Units of the dense layer."""
    activation: Activation = "relu"
    """Non-linearity after every layer but the last."""
    dropout: float = 0.1
    """Share of the dense layer's units that a step leaves out."""


@dataclasses.dataclass(frozen=True)
class HybridConfig:
    """Configuration of the hybrid data set."""

    data: str = "laboratories"
    """'laboratories' (the twin), another data set (python -m jaxsoil.data lists them) or a manifest (.toml)."""
    targets: tuple[str, ...] = ()
    """Properties to impute; none given: all with a physical range and measured values."""
    same_laboratory: tuple[str, ...] = ()
    """Laboratories that are one, joined by "+", such as NRW.115+NRW.42; what the data do not have is passed over."""
    unit_check: Literal["error", "note"] = "error"
    """What becomes of a laboratory whose values look like another unit."""
    step: float = 16.0
    """Spacing of the bands in the unit of the axis; 0 keeps the data's own."""
    folds: int = 5
    """Folds of the cross-fitting, by sample."""
    members: int = 3
    """Networks of the ensemble, for each property and fold."""
    laboratory_members: int = 1
    """Networks for each property and laboratory that is held out; 0 leaves this to PLSR."""
    test_share: float = 0.1
    """Share of the samples that no fold trains on: the strictest check of the intervals. 0 for none."""
    harmonise: Method | Literal["auto"] = "auto"
    """Harmonisation behind the product: 'direct' needs transfer samples, 'auto' takes it where there are such and
    'none' otherwise."""
    compare: tuple[Method, ...] = ("none", "centre", "direct")
    """Harmonisations that are compared."""
    clipped: bool = True
    """Also train networks that are kept within the range by clipping alone, to compare."""
    coverage: float = 0.9
    """Nominal coverage of the intervals in the table."""
    interval: Literal["cv", "cv+"] = "cv"
    """How intervals are made: 'cv' around the mean of all folds' networks, nearest to nominal where rows are alike;
    'cv+' from each fold's own, wider, with a guarantee of at least 2 x coverage - 1."""
    pca_components: int = 10
    """Principal components in which a spectrum's distance to the training rows is judged."""
    outlier_alpha: float = 0.0001
    """Share of the training population beyond the limit over which a row does not train."""
    flag_alpha: float = 0.01
    """The same for the applicability flag of the table."""
    plsr_components: int = 15
    """Latent variables of PLSR."""
    seed: int = 0
    """Seed of folds and networks."""
    twin: LaboratoriesConfig = dataclasses.field(default_factory=LaboratoriesConfig)
    """The synthetic laboratories, used with --data laboratories."""
    network: NetworkConfig = dataclasses.field(default_factory=NetworkConfig)
    """The network."""
    train: LoopConfig = dataclasses.field(
        default_factory=lambda: LoopConfig(epochs=60, batch=64, lr=2e-3, weight_decay=1e-4)
    )
    """How it is trained; one program per step on a CPU, whatever `jit-per-step` says."""
