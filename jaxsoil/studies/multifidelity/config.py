"""Configuration of the multi-fidelity study and what of it the publication states."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, Literal, TypeVar

from jaxsoil.data.readers.pair_set import KINDS, PartKind
from jaxsoil.data.twin.infrared.config import InfraredTwinConfig
from jaxsoil.models.config import VaeConfig
from jaxsoil.models.invariance import MidInfraredStrengths
from jaxsoil.runs.errors import UsageError
from jaxsoil.training.config import LoopConfig

StrategyName = Literal[
    "MIR-PLSR", "MIR-MLP", "MIR-SSL-MLP", "NIR-PLSR", "NIR-MLP", "NIRtoMIR-MLP", "NIRtoMIR-SSL-MLP",
    "NIRtoMIR-SSL-MLP-samples", "NIRtoMIR-SSL-MLP-reencoded", "MIR-SSL-PLSR", "NIRtoMIR-SSL-PLSR", "MIR-ILR-MLP",
    "NIRtoMIR-ILR-MLP", "NIRtoMIR-FNO-MLP", "MIR-ridge", "MIR-carry-over", "MIR-carry-over-no-curve",
]  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Strategy:
    """One way from spectra to properties.

    Attributes:
      name: as Appendix B and the command line write it.
      model: the strategy for which the property model that it uses is trained: its own, or the one of measured MIR.
      view: what that model reads when this strategy is judged, see ``strategies.Views``; a model is trained on the
        view of its own strategy.
      published: whether the paper's Appendix B has it.
      plsr: whether the model is a PLSR, which has no task; otherwise it is a network.
      ilr: whether clay, silt and sand are predicted as two ILR coordinates.
      ridge: of a ridge regression, which has no task either, the kinds of perturbation that it is penalised for; None
        for other models.
    """

    name: StrategyName
    model: StrategyName
    view: Literal["mir", "nir", "latents", "nir_latents", "nir_samples", "reencoded", "converted", "fno"]
    published: bool = True
    plsr: bool = False
    ilr: bool = False
    ridge: tuple[str, ...] | None = None

    @property
    def linear(self) -> bool:
        """Whether the model is linear, one for each property, and no network."""
        return self.plsr or self.ridge is not None

    @property
    def needs_pairs(self) -> bool:
        """Whether it predicts from NIR spectra."""
        return self.view not in ("mir", "latents")

    @property
    def part(self) -> Literal["labelled", "pairs"]:
        """The set that its own model learns from."""
        return "pairs" if self.needs_pairs else "labelled"

    @property
    def needs(self) -> tuple[str, ...]:
        """Trainings of stages 1 and 2 that it needs, by their labels: autoencoder, NIR encoder, Fourier operator."""
        views = {"mir": (), "nir": (), "latents": ("vae",), "fno": ("FNO",)}
        return views.get(self.view, ("vae", "nir encoder"))


SAMPLES, REENCODED = "NIRtoMIR-SSL-MLP-samples", "NIRtoMIR-SSL-MLP-reencoded"
MIR_LINEAR, NIR_LINEAR = "MIR-SSL-PLSR", "NIRtoMIR-SSL-PLSR"
RIDGE, CARRY_OVER, NO_CURVE = "MIR-ridge", "MIR-carry-over", "MIR-carry-over-no-curve"
PERTURBED = MidInfraredStrengths.kinds()
MIR_ILR, NIR_ILR, FNO = "MIR-ILR-MLP", "NIRtoMIR-ILR-MLP", "NIRtoMIR-FNO-MLP"

STRATEGY: dict[str, Strategy] = {
    one.name: one
    for one in (
        Strategy("MIR-PLSR", "MIR-PLSR", "mir", plsr=True),
        Strategy("MIR-MLP", "MIR-MLP", "mir"),
        Strategy("MIR-SSL-MLP", "MIR-SSL-MLP", "latents"),
        Strategy("NIR-PLSR", "NIR-PLSR", "nir", plsr=True),
        Strategy("NIR-MLP", "NIR-MLP", "nir"),
        Strategy("NIRtoMIR-MLP", "MIR-MLP", "converted"),
        Strategy("NIRtoMIR-SSL-MLP", "MIR-SSL-MLP", "nir_latents"),
        Strategy(SAMPLES, "MIR-SSL-MLP", "nir_samples", published=False),
        Strategy(REENCODED, "MIR-SSL-MLP", "reencoded", published=False),
        Strategy(MIR_LINEAR, MIR_LINEAR, "latents", published=False, plsr=True),
        Strategy(NIR_LINEAR, MIR_LINEAR, "nir_latents", published=False, plsr=True),
        Strategy(RIDGE, RIDGE, "mir", published=False, ridge=()),
        Strategy(CARRY_OVER, CARRY_OVER, "mir", published=False, ridge=PERTURBED),
        Strategy(NO_CURVE, NO_CURVE, "mir", published=False, ridge=tuple(k for k in PERTURBED if k != "curve")),
        Strategy(MIR_ILR, "MIR-ILR-MLP", "mir", published=False, ilr=True),
        Strategy(NIR_ILR, "MIR-ILR-MLP", "converted", published=False, ilr=True),
        Strategy(FNO, "MIR-MLP", "fno", published=False),
    )
}
"""All strategies by name, in the order of the tables: Appendix B's, then ours."""

STRATEGIES: tuple[StrategyName, ...] = tuple(one.name for one in STRATEGY.values() if one.published)
"""The seven strategies of the paper's Appendix B."""


def strategies_for(names: Sequence[str], paired: bool) -> list[Strategy]:
    """The records of some strategies; those that need pairs are left out where there are none."""
    return [STRATEGY[name] for name in names if paired or not STRATEGY[name].needs_pairs]


BETA = 1e-3
"""Weight of the divergence in stage 1, beside the norm N of a spectrum's error; ours, and the only one. The loss is
least where the posterior of each latent moves the spectrum by a norm of sqrt(BETA N): with 32 latents and the error N0
of the means, N^2 = N0^2 + 32 BETA N. At the N0 of 32 principal components of the twin, 0.08, N is 0.10 for 1e-3, so
that the draws add a fifth to the error; for 1e-2 it is 0.34, and the decoder learns from draws four times as wrong."""


def _require_memory(part: str, memory_gb: float) -> None:
    if not memory_gb >= 0.0:
        raise UsageError(f"--{part}.memory-gb {memory_gb:g}: give 0 or more; 0 holds one step's rows at a time.")


@dataclasses.dataclass(frozen=True)
class PretrainConfig:
    """Stage 1 of the multi-fidelity study: the autoencoder of mid-infrared scans.

    The publication states 32 latent features and the 80:20 split; all other numbers are ours.
    """

    vae: VaeConfig = VaeConfig(widths=(256, 128))
    """Shape of the autoencoder."""
    loop: LoopConfig = LoopConfig(epochs=40, batch=256, lr=5e-4)
    """Training; ``jit_per_step`` is chosen by the kind of autoencoder and the device."""
    beta: float = BETA
    """Weight of the divergence."""
    warmup: float = 0.3
    """Share of the epochs over which that weight rises from 0."""
    held_out: float = 0.2
    """Share of the samples that validate and are not trained on (paper: 20 %)."""
    active: float = 0.05
    """Mean divergence, nats, below which a latent feature counts as collapsed to the prior."""
    memory_gb: float = 4.0
    """Memory for scans: where they take more they are read from the disk, and the blocks that are held fit it."""
    block: int = 64
    """Steps whose scans are shuffled together in a larger library, and held together at most when streaming."""
    checkpoint_steps: int = 1000
    """Steps between checkpoints, in the middle of an epoch too."""

    def __post_init__(self) -> None:
        _require_memory("pretrain", self.memory_gb)
        if self.block < 1:
            raise UsageError(f"--pretrain.block {self.block}: shuffle the scans of at least one step together.")


@dataclasses.dataclass(frozen=True)
class ConversionConfig:
    """Stage 2 of the multi-fidelity study: near-infrared to mid-infrared spectra.

    The publication states Eqs. 4 to 6 and the 80:20 split; the numbers are ours.
    """

    widths: tuple[int, ...] = (256, 128)
    """Units of the near-infrared encoder's layers; its regularising decoder has the same backwards."""
    loop: LoopConfig = LoopConfig(epochs=200, batch=32, weight_decay=1e-4)
    """Training of the point conversion."""
    spread_widths: tuple[int, ...] = (64,)
    """Units of the layers that give the log variances."""
    spread_loop: LoopConfig = LoopConfig(epochs=100, batch=32, weight_decay=1e-4, patience=20)
    """Training of the spread."""


@dataclasses.dataclass(frozen=True)
class FnoConfig:
    """The Fourier neural operator of the multi-fidelity study (its Appendix C); its numbers are ours."""

    width: int = 24
    """Channels."""
    layers: int = 4
    """Fourier layers."""
    modes: int = 64
    """Frequencies that a layer mixes; 64 resolve features of about 27 cm-1 on 3400 cm-1."""
    loop: LoopConfig = LoopConfig(epochs=100, batch=32, weight_decay=1e-4)
    """Training."""


@dataclasses.dataclass(frozen=True)
class PropertyConfig:
    """Stage 3: models from spectra or latents to properties. The paper states none of these numbers."""

    tasks: tuple[Literal["multi", "single"], ...] = ("multi", "single")
    """One network for all properties, or one for each (the paper's text has both)."""
    widths: tuple[int, ...] = (128, 64)
    """Hidden units of the networks on spectra."""
    latent_widths: tuple[int, ...] = (128, 128)
    """Hidden units of the networks on latents."""
    dropout: float = 0.1
    """Share of hidden units dropped while training."""
    watch: float = 0.1
    """Share of the training rows, whole groups, that stops the networks; PLSR trains on them."""
    loop: LoopConfig = LoopConfig(epochs=120, batch=128, lr=2e-3, weight_decay=1e-2, patience=20)
    """How the networks are trained."""
    steps: int = 1000
    """Steps of a network at least, by more epochs and patience where rows are few."""
    memory_gb: float = 4.0
    """Memory for the inputs of a network for all properties: where they take more, they are read batch by batch."""
    components: int = 40
    """PLSR: components tried at most."""
    folds: int = 5
    """PLSR: folds, by group, of the cross-validation inside the training rows that chooses the components."""
    draws: int = 200
    """Ridge regression: draws of its hyper-parameters from a fixed prior, whose models are averaged."""

    def __post_init__(self) -> None:
        _require_memory("properties", self.memory_gb)


@dataclasses.dataclass(frozen=True)
class CurveConfig:
    """Data efficiency: the MIR strategies with few labels. The paper claims it and shows no curve."""

    labels: tuple[int, ...] = (10, 30, 100, 300, 1000)
    """Labelled samples; sizes beyond the training rows are left out."""
    draws: int = 1
    """Draws of each size in each seed; smaller draws are parts of larger ones."""
    watch: float = 0.2
    """Share of the drawn labels that stops the networks."""
    steps: int = 1000
    """Steps of a network at least, by more epochs and patience: few labels make few steps an epoch."""


@dataclasses.dataclass(frozen=True)
class InstrumentConfig:
    """Smooth curves added to the test set's MIR spectra, as another instrument would; the paper has no such test."""

    curves: tuple[float, ...] = (0.0, 0.005, 0.01, 0.02, 0.04, 0.08)
    """Their standard deviations over the bands, absorbance; real instruments: 0.02 to 0.07. None: no test."""
    draws: int = 8
    """Shapes of each in each seed."""

    def __post_init__(self) -> None:
        if any(not 0.0 <= sd < math.inf for sd in self.curves) or self.draws < 1:
            raise UsageError(
                f"instruments: curves {self.curves}, draws {self.draws}: give standard deviations that are finite and "
                "not negative, and at least one draw."
            )


SEEDS = 5
"""Replicates where the configuration names no number."""


@dataclasses.dataclass(frozen=True)
class MultifidelityConfig:
    """The study: pre-training, conversion and property models, on the twin or on measured spectra."""

    data: str = "infrared_twin"
    """'infrared_twin'; 'limesoda_mir', measured MIR fields, each held out once, or one of them, 'limesoda_mir/FIELD';
    'H.138_split', one measured field in two ranges (optimistic); 'kssl' and other public pairs, with a fixed test set;
    'woodwell604', measured pairs, and the path of a TOML file, one's own: each part is held out once, in groups and at
    random, or its own test set judges."""
    seeds: int | None = None
    """Replicates with other splits, weights and batches; each trains all three stages. None: five, and for
    limesoda_mir its fields. Of measured pairs it is the parts held out in each way; None: all."""
    twins: int = 5
    """Twins, made with the seeds that follow twin.seed: replicate i stands on twin i modulo twins. 1: all on one twin,
    where seeds differ by split and training alone."""
    splits: tuple[PartKind, ...] = KINDS
    """How samples of measured pairs are held out: the first way makes tables and curves, a second one stands beside."""
    strategies: tuple[StrategyName, ...] = (
        *STRATEGIES, SAMPLES, REENCODED, MIR_LINEAR, NIR_LINEAR, RIDGE, CARRY_OVER, NO_CURVE,
    )  # fmt: skip
    """What is trained and judged in stage 3. Beyond the paper: '-samples' averages predictions over draws of the NIR
    spectrum's latents, '-reencoded' takes the MIR encoder's latents of the converted spectrum. 'SSL-PLSR' fits PLSR to
    the latents, as the paper's figure 2 shows and its appendix does not. 'MIR-carry-over' is a ridge regression that is
    penalised for what another instrument would change, '-no-curve' without smooth curves, 'MIR-ridge' not penalised."""
    validation: float | None = None
    """Share of the pairs that judges the conversion; kept out of all three stages. None: 0.2 (paper), and 0 for
    measured pairs, whose held-out parts judge it."""
    complete: bool | None = None
    """Only rows with all properties (paper); otherwise each property uses the rows that have it. None: complete rows
    of the twin, all rows of measured data, where whole fields lack a property."""
    steps: int = 1400
    """Steps of stages 1 and 2 at least, by more epochs where scans or pairs are few."""
    samples: int = 20
    """Draws from the posterior of a converted spectrum, for its spread and for NIRtoMIR-SSL-MLP-samples."""
    twin: InfraredTwinConfig = InfraredTwinConfig()
    """The synthetic library, used with --data infrared_twin."""
    pretrain: PretrainConfig = PretrainConfig()
    """Stage 1: the variational autoencoder of MIR scans."""
    convert: ConversionConfig = ConversionConfig()
    """Stage 2: the NIR encoder against the frozen MIR decoder."""
    fno: FnoConfig = FnoConfig()
    """The Fourier neural operator, trained where NIRtoMIR-FNO-MLP is among the strategies."""
    properties: PropertyConfig = PropertyConfig()
    """Stage 3: property models."""
    curves: CurveConfig = CurveConfig()
    """Data efficiency."""
    instruments: InstrumentConfig = InstrumentConfig()
    """Smooth curves between the test set's instrument and the library's."""
    internal: int = 10
    """Repetitions of the 10-fold cross-validation inside pairs and test set (paper: 10); 0 leaves it out."""


PAPER: dict[str, Any] = {
    "data": "KSSL MIR library, ProxiScout NIR pairs, NAPT test set",
    "validation": 0.2,
    "pretrain.held_out": 0.2,
    "pretrain.vae.latents": 32,
    "internal": 10,
}
"""Settings that the publication states, by field of :class:`MultifidelityConfig`."""

_Settings = TypeVar("_Settings", PretrainConfig, ConversionConfig, FnoConfig, PropertyConfig)

OURS = ("pretrain", "convert", "fno", "properties", "curves", "instruments", "samples", "steps")
"""Fields that the publication does not state; chosen on training rows only."""


def enough_steps(settings: _Settings, rows: int, steps: int) -> _Settings:
    """The same settings, each of their trainings with enough epochs for ``steps`` steps on ``rows`` rows.

    Patience grows alike.
    """
    loops = {}
    for name, loop in vars(settings).items():
        if isinstance(loop, LoopConfig):
            factor = max(1.0, steps / (max(1, rows // min(loop.batch, rows)) * loop.epochs))
            epochs, patience = (math.ceil(number * factor) for number in (loop.epochs, loop.patience))
            loops[name] = dataclasses.replace(loop, epochs=epochs, patience=patience)
    return dataclasses.replace(settings, **loops)


def smoke(config: MultifidelityConfig) -> MultifidelityConfig:
    """The same study at a size of seconds."""
    return dataclasses.replace(
        config,
        seeds=2,
        samples=4,
        steps=0,
        internal=1 if config.internal else 0,
        twin=InfraredTwinConfig(samples=160, repeats=2, labelled=130, pairs=60, test=40, mir_step=34.0, nir_bands=23),
        pretrain=dataclasses.replace(
            config.pretrain, vae=VaeConfig(widths=(32, 16)), loop=LoopConfig(epochs=6, batch=32), checkpoint_steps=20
        ),
        convert=ConversionConfig(
            widths=(16,), loop=LoopConfig(epochs=6, batch=16), spread_widths=(8,),
            spread_loop=LoopConfig(epochs=3, batch=16),
        ),
        fno=FnoConfig(width=6, layers=2, modes=4, loop=LoopConfig(epochs=3, batch=16)),
        properties=dataclasses.replace(
            config.properties, tasks=("multi",), steps=0, widths=(16,), latent_widths=(16,), components=6, folds=3,
            draws=20, loop=dataclasses.replace(config.properties.loop, batch=32, epochs=6, patience=0),
        ),
        curves=dataclasses.replace(config.curves, labels=config.curves.labels and (30,), steps=10),
        instruments=InstrumentConfig(config.instruments.curves and (0.0, 0.02), draws=2),
    )  # fmt: skip


def ablation(config: MultifidelityConfig, strategies: Sequence[Any]) -> MultifidelityConfig:
    """Some strategies alone, one network for all properties, without the curves and the yardsticks."""
    return dataclasses.replace(
        config,
        strategies=tuple(strategies),
        properties=dataclasses.replace(config.properties, tasks=("multi",)),
        curves=dataclasses.replace(config.curves, labels=()),
        instruments=InstrumentConfig(curves=()),
        internal=0,
    )


PAPER_SIZE = MultifidelityConfig(
    twin=InfraredTwinConfig.paper(),
    pretrain=PretrainConfig(vae=VaeConfig(widths=(512, 256)), loop=LoopConfig(epochs=60, batch=1024, lr=5e-4)),
    convert=ConversionConfig(loop=LoopConfig(epochs=300, batch=64, weight_decay=1e-4)),
    properties=PropertyConfig(
        widths=(256, 128), loop=LoopConfig(epochs=150, batch=512, lr=2e-3, weight_decay=1e-2, patience=20)
    ),
    curves=CurveConfig(labels=(10, 30, 100, 300, 1000, 3000, 10000)),
)
"""Rows and bands of the publication; what it does not state stays ours."""
