"""Configurations of the reconstruction studies, and the publication's settings; imports no heavy library."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable
from typing import Any, Literal, get_args

from jaxsoil.data.twin.soil.config import TwinConfig
from jaxsoil.models.config import Input
from jaxsoil.runs.errors import UsageError, did_you_mean
from jaxsoil.training import config as limits
from jaxsoil.training.config import DeviceConfig, TrainConfig, per_trial

EncoderKind = Literal["mlp", "cnn", "attention"]
Network = Literal["none", "ann", "physics", "physics_no_rho"]
Baseline = Literal[
    "plsr", "random_forest", "plsr_absorbance", "epo", "ridge", "ridge_perturbations", "ridge_regions", "ridge_both",
    "process", "process_whitened", "carry_over", "carry_over_plsr", "ridge_latent", "mlp_augmented", "carry_over_mlp",
    "mlp", "cnn_augmented",
]  # fmt: skip
FAMILY: tuple[Baseline, ...] = get_args(Baseline)[2:]
"""Baselines that see absorbance and fit log10 SOC whatever the study's settings are: PLSR on absorbance and the models
of :mod:`jaxsoil.studies.reconstruction.family`."""
SocLoss = Literal["linear", "proportional", "log"]
Setting = tuple[Input, SocLoss]
"""What a model sees, and the form of its SOC loss."""


@dataclasses.dataclass(frozen=True)
class StudyConfig:
    """Configuration of a reconstruction study."""

    data: str = "twin"
    """Name of a data set (python -m jaxsoil.data lists them) or the path of a manifest (.toml)."""
    axis: tuple[float, float] | None = None
    """First and last wavelength in nm that are used, such as those of an instrument; None: all of the data's."""
    seeds: int = per_trial(1)
    """Replicates of each network with other random numbers (paper: 4)."""
    networks: tuple[Network, ...] = ("none", "ann", "physics")
    """Networks by their decoder: 'none' (encoder alone), 'ann', 'physics' (mixing with learned SOC spectrum),
    'physics_no_rho' (mixing by mass fractions)."""
    encoder: EncoderKind = "mlp"
    """Encoder of all networks: 'mlp' (paper), 'cnn' or 'attention'."""
    baselines: tuple[Baseline, ...] = per_trial(("plsr", "random_forest"))
    """Reference models on the same splits. 'plsr_absorbance' and those behind it see absorbance and fit log10 SOC;
    'carry_over' is the mean of 'ridge_both' and 'process_whitened', 'carry_over_mlp' of these and 'mlp_augmented'
    (docs/carry_over.md)."""
    input: tuple[Input, ...] = ("reflectance",)
    """What the networks see: 'reflectance' (paper), its 'absorbance', or 'snv' (SNV of absorbance); decoders
    reconstruct reflectance. Several make a grid (region_out), whose first setting is the run's own."""
    loss: tuple[SocLoss, ...] = ("linear",)
    """SOC term of the networks' loss: 'linear' (paper: one sigma for all), 'proportional' (sigma grows with a sample's
    SOC), or 'log' (errors of log10 SOC). Several make a grid."""
    baseline_input: tuple[Input, ...] = per_trial(("snv",))
    """What the baselines see; none given: what the networks see."""
    baseline_loss: tuple[SocLoss, ...] = per_trial(("log",))
    """The same of their loss: 'linear' fits SOC, 'proportional' fits it with weights, 'log' fits log10 SOC."""
    components: int = 94
    """Endmembers K in the latent space, soil organic carbon included (paper: 94). With a mixing decoder K follows
    from the mineral library."""
    start: Literal["paper", "direct"] = "paper"
    """Where the mixing decoder starts: f_SOC 0.5 and the minerals' mean rho r (paper), or the direct estimate from
    each trial's training rows."""
    width: int = 512
    """Units of each hidden layer (paper: 512)."""
    initialisation: Literal["lecun", "pytorch"] = "lecun"
    """First weights of dense layers: 'lecun' (Flax), or 'pytorch' (published code), uniform in +-1 / sqrt(inputs)."""
    twin: TwinConfig = dataclasses.field(default_factory=TwinConfig)
    """The synthetic library, used with --data twin."""
    train: TrainConfig = dataclasses.field(default_factory=TrainConfig)
    """How the networks are trained."""
    devices: DeviceConfig = dataclasses.field(default_factory=DeviceConfig)
    """Where they are trained."""


TransferModel = Literal["plsr", "random_forest", "none", "ann", "physics", "physics_no_rho"]


@dataclasses.dataclass(frozen=True)
class RegionOutConfig(StudyConfig):
    """Configuration of the study that leaves one region out, with the matrix of transfer as an option."""

    transfer_matrix: tuple[TransferModel, ...] = ()
    """Models of --networks and --baselines that are also trained on one region alone and tested on each other region;
    none given: no matrix."""
    transfer_folds: int = 5
    """Folds by group within a region, whose scores are the matrix's diagonal."""
    transfer_rows: int = 40
    """Fewest rows of a region that trains alone; on smaller ones the others are only tested."""
    transfer_batch: int = 16
    """Rows in a step of a network that trains on one region; for the rest it trains as --train says."""


@dataclasses.dataclass(frozen=True)
class CarryOverConfig(StudyConfig):
    """Configuration of the comparison of models that are to carry over to regions never seen; no network is trained."""

    networks: tuple[Network, ...] = ()
    """None by default: region_out has them beside the carry-over model."""
    baselines: tuple[Baseline, ...] = get_args(Baseline)
    """Models that are compared; plsr_absorbance, the one that the others are compared with, is among them."""
    held_out: tuple[str, ...] = ()
    """Regions that are held out in turn, the others only train; none given: all of them."""
    finetuned: tuple[Network, ...] = ()
    """Networks of the paper beside the curve of local labels: trained on the other regions as --train says, fine-tuned
    on each choice of labels as --finetune says."""
    finetuned_draws: int = 3
    """Random choices of local labels that they are fine-tuned on; offsets are averaged over 50."""
    finetune: TrainConfig = dataclasses.field(
        default_factory=lambda: TrainConfig(
            epochs=25, batch=20, unlabelled_batch=20, wrap=True, batch_norm="stored", lr=2e-4, b1=0.9
        )
    )
    """How they are fine-tuned: as few_labels does by default; random keys are those of --train.seed."""
    properties: tuple[str, ...] = ()
    """Other properties of the data, such as ph and clay, on which the models of absorbance are compared too."""
    moisture: bool = True
    """Also test on wet states of soils that the models know dry, with measured spectra where JAXSOIL_DATA has them."""


PAPER = {
    "encoder": "mlp",
    "start": "paper",
    "input": ("reflectance",),
    "loss": ("linear",),
    "seeds": 4,
    "components": 94,
    "width": 512,
    "initialisation": "pytorch",
    "train.epochs": 1000,
    "train.batch": 75,
    "train.lr": 5e-5,
    "train.b1": 0.99,
    "train.b2": 0.999,
    "train.decoder_lr": 1.0,
    "train.mineral_kl": 0.0,
    "train.perturbed": 0.0,
    "train.sigma_soc": 0.0041,
    "train.sigma_reflectance": 0.01,
    "train.validation_share": 0.0,
    "train.keep": "last",
    "train.patience": 0,
}
"""Settings of the publication (Coleman et al. 2024 and its published code) by field of :class:`StudyConfig`."""

PAPER_NETWORKS: tuple[Network, ...] = ("none", "ann", "physics")
"""The publication's networks."""

RHO_R_DECODERS: tuple[Network, ...] = ("physics", "physics_no_rho")
"""The two decoders that the study of rho r compares: with and without it."""

BY_ROW = ", by row"
"""How the names of splits end that are drawn by row."""

PAPER_ENDMEMBERS = 94
"""K of the publication's mixing decoder: 93 minerals and SOC."""

SMOKE_TWIN = TwinConfig(n_samples=240, n_regions=4, n_outlying=1, n_bands=40)
PAPER_TWIN = TwinConfig(n_samples=23291, n_bands=2136)
"""The twin at the smallest size, and at the publication's."""


@dataclasses.dataclass(frozen=True)
class BaselineSplitConfig(StudyConfig):
    """Configuration of the random split; ``seeds`` counts the trainings of each draw."""

    draws: int = per_trial(3)
    """Random splits (paper: 10)."""
    share: float = per_trial(0.6)
    """Share of the rows that train (paper: 0.6)."""
    parting: tuple[Literal["group", "row"], ...] = per_trial(("group", "row"))
    """What is drawn: 'group' keeps the rows of a sample and of a pedon on one side, 'row' does not (paper)."""


PAPER_TABLE_1 = {name: value for name, value in PAPER.items() if name != "seeds"} | {
    "draws": 10,
    "share": 0.6,
    "parting": ("row",),
}
"""Settings of the publication by field of :class:`BaselineSplitConfig`."""


@dataclasses.dataclass(frozen=True)
class FewLabelsConfig(StudyConfig):
    """Configuration of the study with few labels; ``train`` is the first stage."""

    baselines: tuple[Baseline, ...] = per_trial(())
    """Reference models on the same labels; after fine-tuning they are fitted again on the labels of both stages."""
    pedons_per_region: int = per_trial(10)
    """Pedons of each training region that carry labels (paper: 10)."""
    unlabelled_share: float = per_trial(1.0)
    """Share of the rows without a label in the training regions whose spectra train, drawn by pedon; with the labelled
    ones they are the N' of Eq. 1 (paper: 1)."""
    adaptation_pedons: int = per_trial(5)
    """Pedons of the held-out region whose labels fine-tune (paper: 5)."""
    held_out: tuple[str, ...] = per_trial(())
    """Regions that are held out in turn; none given: all of them."""
    finetune: TrainConfig = dataclasses.field(
        default_factory=lambda: TrainConfig(epochs=25, unlabelled_batch=75, wrap=True, batch_norm="stored")
    )
    """How the networks are fine-tuned; random keys are those of --train.seed in both stages."""
    keep_states: bool = False
    """Keep the parameters of the pre-trained networks in the run folder."""


PAPER_TABLE_3: dict[str, Any] = {
    **{name: value for name, value in PAPER.items() if name != "train.epochs"},
    "train.epochs": 500,
    "pedons_per_region": 10,
    "unlabelled_share": 1.0,
    "adaptation_pedons": 5,
    "finetune.epochs": 25,
    **{f"finetune.{name}": PAPER[f"train.{name}"] for name in ("batch", "lr", "b1", "b2", "keep")},
    "finetune.batch_norm": "not stated",
    **{f"{stage}.{name}": "not stated" for stage in ("train", "finetune") for name in ("unlabelled_batch", "epoch_of")},
}
"""Settings of the publication by field of :class:`FewLabelsConfig`."""

UNSTATED_TABLE_3 = (
    ("rows of the spectrum term (Eq. 1)", "a batch of its own out of all N' spectra in each step", "not stated"),
    ("optimiser in fine-tuning", "begun anew", "not stated"),
)
"""What the publication leaves open in its few labels, and how it is read here."""


def settings_of(config: StudyConfig, model: str) -> list[Setting]:
    """The settings of a network or baseline, the run's own first."""
    if model in FAMILY:
        return [("absorbance", "log")]
    baseline = model in get_args(Baseline)
    inputs = (config.baseline_input if baseline else ()) or config.input
    losses = (config.baseline_loss if baseline else ()) or config.loss
    return list(itertools.product(inputs, losses))


def variant_of(setting: Setting, first: Setting) -> str:
    """Name of a setting among those of its model: "" for the run's own."""
    return "" if setting == first else "-".join(setting)


def check(config: StudyConfig, *, grid: bool = False) -> None:
    """Raises UsageError, in one line, where a setting cannot be; ``grid``: several inputs and losses are taken."""
    counts = {"seeds": limits.at_least(1), "components": limits.at_least(2), "width": limits.at_least(1)}
    limits.require(config, counts)
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if isinstance(value, TrainConfig):
            limits.require(value, limits.TRAIN_LIMITS, f"{field.name}.")
            if value.precision == "bfloat16" and config.encoder != "mlp":
                raise UsageError(
                    f"--{field.name}.precision bfloat16 rounds dense layers alone, and --encoder {config.encoder} has "
                    "others: take --encoder mlp or another precision."
                )
    limits.require(config.devices, limits.DEVICE_LIMITS, "devices.")
    kinds: dict[str, Any] = {"networks": Network, "baselines": Baseline, "input": Input, "loss": SocLoss}
    kinds |= {"baseline_input": Input, "baseline_loss": SocLoss}
    if isinstance(config, CarryOverConfig):
        kinds |= {"finetuned": Network}
        limits.require(config, {"finetuned_draws": limits.at_least(1)})
    for field, kind in kinds.items():
        option, names = f"--{field.replace('_', '-')}", getattr(config, field)
        require_known(option, names, get_args(kind))
        if len(set(names)) < len(names):
            raise UsageError(f"{option} {' '.join(names)}: name each once.")
        if field in ("input", "loss") and not names:
            raise UsageError(f"{option}: name one or more of {', '.join(get_args(kind))}.")
        if not grid and len(names) > 1 and kind in (Input, SocLoss):
            raise UsageError(f"{option} {' '.join(names)}: this study takes one; region_out compares several.")
    if config.axis is not None and not 0.0 < config.axis[0] < config.axis[1]:
        raise UsageError(f"--axis {config.axis[0]:g} {config.axis[1]:g}: give the lower wavelength first, in nm.")
    if not config.networks and not isinstance(config, CarryOverConfig):
        raise UsageError(f"--networks: name one or more of {', '.join(get_args(Network))}.")


def require_known(option: str, names: Iterable[str], known: Iterable[str]) -> None:
    """Raises UsageError where one of the names that an option was given is not known."""
    for name in names:
        if name not in known:
            raise UsageError(f"{option}: nothing is called '{name}'. {did_you_mean(name, known)}")


def convergence_sentence(train: TrainConfig) -> str:
    """The criterion of convergence in words, for the reports."""
    watched = (
        f"loss of Eq. 1 on {train.validation_share:.0%} of the training groups, set aside"
        if train.validation_share
        else "training loss of Eq. 1"
    )
    if train.patience:
        return (
            f"A network counts as converged when the validation loss ({watched}) has not fallen below its lowest for "
            f"{train.patience} epochs, within at most {train.epochs}; training then stops."
        )
    return (
        f"A network counts as converged when the mean of the validation loss ({watched}) over the last fifth of its "
        f"{train.epochs} epochs is less than {train.tolerance:.0%} under that over the fifth before."
    )
