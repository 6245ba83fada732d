"""What can be set in the study of layer transfer."""

from __future__ import annotations

import dataclasses
from typing import Literal, get_args

from jaxsoil.data.twin.landscape.config import LandscapeConfig
from jaxsoil.runs.errors import UsageError
from jaxsoil.training import config as limits
from jaxsoil.training.config import LoopConfig

Model = Literal[
    "mean", "rf", "rf_window", "cnn", "cnn_long", "multitask", "multitask_tuned", "transfer", "profile"
]  # fmt: skip
SplitName = Literal["blocks", "random"]
NETWORKS: tuple[Model, ...] = ("cnn", "cnn_long", "multitask", "multitask_tuned", "transfer", "profile")

LIMITS: dict[str, limits.Limit] = {
    "seeds": limits.at_least(1),
    "folds": limits.at_least(2),
    "coverage": (lambda value: 0.0 < value < 1.0, "a share above 0 and below 1 (90 % as 0.9)"),
    "watch": (lambda value: 0.0 < value < 0.5, "a share above 0 and below 0.5"),
    "map_side": limits.at_least(0),
    "cover": limits.from_to(0.0, 1.0),
    **dict.fromkeys(("tile", "trees", "width", "hidden"), limits.at_least(1)),
}
"""What numbers of the configuration can be."""


@dataclasses.dataclass(frozen=True)
class LayersConfig:
    """Configuration of the study; the abstract of the paper states none of these settings."""

    data: str = "landscape_twin"
    """landscape_twin, edgeroi, macedonia, or the path of a TOML file that names a table, its layers and rasters."""
    twin: LandscapeConfig = dataclasses.field(default_factory=LandscapeConfig)
    """The synthetic landscape."""
    models: tuple[Model, ...] = get_args(Model)
    """mean of the layer; random forest on the central pixel (rf) or also on window means and spreads (rf_window);
    networks: one for each layer (cnn), all layers at once (multitask), pre-trained on all layers and fine-tuned on
    one (transfer), one depth function (profile). Controls that train as long as transfer: the network of one layer
    with a second stage on the same layer (cnn_long), the multi-task network fine-tuned on one (multitask_tuned)."""
    splits: tuple[SplitName, ...] = ("blocks", "random")
    """Spatial blocks, and sites at random."""
    seeds: int = 2
    """Repetitions of every training."""
    folds: int = 5
    """Folds of each split."""
    block: float = 0.0
    """Side of the spatial blocks in the unit of the CRS (m); 0: one sixth of the root of the sites' extent."""
    window: int = 9
    """Side of the covariate window in pixels: 1, or an odd multiple of 3."""
    cover: float = 0.0
    """Share of a layer that horizons must cover, of data made of horizons; 0: as their description says."""
    min_sites: int = 40
    """A layer with fewer sites is left out and named."""
    transform: Literal["auto", "log1p", "none"] = "auto"
    """Scale on which models are fitted; auto: log1p where the median skewness over layers exceeds 0.5."""
    smear: bool = True
    """Correct predictions on the log1p scale for the bias of transforming them back (Duan's smearing estimate)."""
    trees: int = 100
    """Trees of a random forest."""
    width: int = 16
    """Channels of the first convolution."""
    hidden: int = 32
    """Units of a network's head."""
    dropout: float = 0.1
    """Share of the head's units dropped in training."""
    watch: float = 0.15
    """Share of the training sites that are watched to choose when to stop."""
    train: LoopConfig = dataclasses.field(
        default_factory=lambda: LoopConfig(epochs=60, batch=32, lr=3e-3, weight_decay=0.02, patience=20)
    )
    """How networks are trained, pre-training included."""
    finetune: LoopConfig = dataclasses.field(
        default_factory=lambda: LoopConfig(epochs=30, batch=32, lr=1e-3, weight_decay=0.02, patience=10)
    )
    """How the second stage goes on, on the target layer."""
    coverage: float = 0.9
    """Nominal coverage of the intervals."""
    map_model: Literal["best", Model] = "best"
    """Model of the maps; best: in each fold of ``map_split`` the one with the lowest RMSE over all layers in an inner
    cross-validation among the training sites of that fold, so that no held-out site takes part in the choice."""
    map_split: SplitName = "random"
    """Split whose fold models make the maps and whose held-out errors set the width of the maps' intervals."""
    map_side: int = 0
    """Side in pixels of the square in the middle of the grid that is mapped, nodata around it; 0: all of the grid."""
    tile: int = 128
    """Side in pixels of the tiles in which maps are made."""

    def check(self) -> None:
        """Refuses settings that cannot be carried out, with a UsageError that names the option."""
        if not self.models or not self.splits:
            raise UsageError("--models and --splits need at least one name each.")
        if len(set(self.models)) < len(self.models) or len(set(self.splits)) < len(self.splits):
            raise UsageError("--models and --splits name each thing once.")
        limits.require(self, LIMITS)
        if self.window != 1 and self.window % 6 != 3:
            raise UsageError(f"--window is {self.window}: give 1, 3, 9, 15, 21 ... pixels (odd multiples of 3).")
        if self.map_model != "best" and self.map_model not in self.models:
            raise UsageError(f"--map-model {self.map_model} is not among --models.")
        if self.map_split not in self.splits:
            raise UsageError(f"--map-split {self.map_split} is not among --splits.")
        if self.map_model == "best" and self.folds < 3:
            raise UsageError("--map-model best chooses among the training folds: give 3 --folds or more, or a model.")
