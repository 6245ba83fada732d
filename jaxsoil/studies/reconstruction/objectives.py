"""Losses of the reconstruction study."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxsoil.models.autoencoder import Autoencoder, evaluate
from jaxsoil.studies.reconstruction.config import SocLoss
from jaxsoil.training.config import TrainConfig
from jaxsoil.training.grid import Trial
from jaxsoil.training.group_run import MakeLoss

LEAST_SOC = 1e-6
"""Mass fraction under which SOC has one logarithm: a softmax may underflow to zero."""


@dataclasses.dataclass(frozen=True)
class SocError:
    """The SOC term of Eq. 1 by its form: squared errors in units of the standard error sigma_i of sample i.

    ``linear``: one ``sigma`` (mass fraction) for all, as published. ``proportional``: sigma_i is ``relative`` times the
    sample's SOC plus ``floor`` (mass fraction). ``log``: errors of log10 SOC in units of ``relative`` / ln 10, the
    same relative error on that scale.
    """

    form: SocLoss
    sigma: float
    relative: float
    floor: float

    def term(self, observed: jax.Array, predicted: jax.Array, mean: Any = jnp.mean) -> jax.Array:
        """The mean of them over mass fractions ``(n,)`` of labelled rows; ``mean`` may weight them."""
        if self.form == "linear":
            return soc_term(observed, predicted, self.sigma, mean)
        _same_shape(observed, predicted)
        if self.form == "log":
            off = jnp.log(jnp.maximum(predicted, LEAST_SOC)) - jnp.log(jnp.maximum(observed, LEAST_SOC))
            return mean(jnp.square(off)) / self.relative**2
        return mean(jnp.square((observed - predicted) / (self.relative * observed + self.floor)))


@dataclasses.dataclass(frozen=True)
class ReconstructionLoss:
    """Eq. 1 of Coleman et al. 2024 for a network, as the engine asks for (:data:`jaxsoil.training.step.Loss`).

    The mixing decoder adds ``mineral_kl`` times :func:`mineral_divergence` and multiplies by one plus
    :func:`outside_unit_interval`; the validation loss is Eq. 1 alone, with BatchNorm's stored statistics.
    ``stored_statistics``: the training loss has them too, and they stay as they are. ``perturbed``: strength of
    :func:`perturbed`, for whose batches the data hold what it takes; the validation loss sees spectra as they are.
    Where ``own`` is given, it has :attr:`numbers` of the trial in place of the loss's.
    """

    model: Autoencoder
    soc: SocError
    sigma_reflectance: float
    mineral_kl: float
    stored_statistics: bool
    perturbed: float = 0.0

    @property
    def numbers(self) -> tuple[str, ...]:
        """The weights that trials of one program may differ in; those of zero are no part of it."""
        return tuple(name for name in ("mineral_kl", "perturbed") if getattr(self, name))

    def __call__(
        self, params: Any, stats: Any, batch: Any, key: Any, progress: Any, shared: Any = None, own: Any = None
    ) -> Any:
        if key is None:
            return self._validation(params, stats, batch, shared), (stats, {})
        weight = {name: getattr(self, name) for name in self.numbers} | (own or {})
        stored, soc = self.stored_statistics, batch["soc"]
        x = perturbed(batch, key, weight["perturbed"]) if self.perturbed else batch["spectra"]
        variables, mutable = {"params": params, "batch_stats": stats}, [] if stored else ["batch_stats"]
        (mass, rebuilt), updated = self.model.apply(variables, x, shared, train=not stored, mutable=mutable)
        # The labelled rows come first in the batch. Where others follow, those were drawn from all N' spectra and make
        # the spectrum term alone: with the labelled ones in it, a few labels would be half of it (Eq. 1, N' != N).
        labelled = soc.shape[0]
        spectra = slice(labelled if x.shape[0] > labelled else 0, None)
        loss = self.soc.term(soc, mass[:labelled, -1])
        if rebuilt is not None:
            loss = loss + spectrum_term(x[spectra], rebuilt[spectra], self.sigma_reflectance)
        if self.model.config.physical and self.mineral_kl:
            loss = loss + weight["mineral_kl"] * mineral_divergence(mass[spectra], shared.shares)
        if self.model.config.physical:
            loss = loss * (1.0 + outside_unit_interval(params["decoder"]["f_soc"]))
        return loss, (stats if stored else updated["batch_stats"], {})

    def _validation(self, params: Any, stats: Any, batch: Any, minerals: Any) -> jax.Array:
        weight, x = batch["weight"], batch["spectra"]
        mean = lambda values: jnp.sum(weight * values) / jnp.sum(weight)  # noqa: E731
        mass, rebuilt = evaluate(self.model, {"params": params, "batch_stats": stats}, x, minerals)
        loss = self.soc.term(batch["soc"], mass[:, -1], mean)
        if rebuilt is not None:
            loss = loss + mean(jnp.mean(jnp.square(rebuilt - x), axis=1)) / self.sigma_reflectance**2
        return loss


def make_loss(model: Autoencoder, train: TrainConfig, form: SocLoss = "linear") -> ReconstructionLoss:
    """The loss of a network by the settings of its training and the form of its SOC term."""
    soc = SocError(form, train.sigma_soc, train.sigma_relative, train.sigma_floor)
    return ReconstructionLoss(
        model, soc, train.sigma_reflectance, train.mineral_kl, train.batch_norm == "stored", train.perturbed
    )


def perturbed(batch: Any, key: jax.Array, strength: Any) -> jax.Array:
    """Reflectances (n, m) of a batch, each moved by all kinds of perturbation at once, by normal draws up to two SD.

    Args:
      batch: "spectra" (n, m), reflectance; "moved" (n, kinds, m), absorbance that each kind adds at one standard
        deviation, nearly linear in it; "one_sided" (n, kinds), kinds whose strength has one sign.
      key: of the draws.
      strength: factor of the standard deviations.
    """
    drawn = jnp.clip(jax.random.normal(key, batch["one_sided"].shape), -2.0, 2.0)
    drawn = strength * jnp.where(batch["one_sided"], jnp.abs(drawn), drawn)
    return batch["spectra"] * 10.0 ** -jnp.einsum("nk,nkm->nm", drawn, batch["moved"])


def soc_term(observed: jax.Array, predicted: jax.Array, sigma: float, mean: Any = jnp.mean) -> jax.Array:
    """First term of Eq. 1 (Coleman et al. 2024): mean squared error of SOC mass fractions ``(n,)`` of labelled rows in
    units of ``sigma``, the standard error of a measurement (paper: 0.0041); ``mean`` may weight the squares."""
    _same_shape(observed, predicted)
    return mean(jnp.square(observed - predicted)) / sigma**2


def make_losses(trials: Sequence[Trial]) -> MakeLoss:
    """:func:`make_loss` for the trials of a group, which have one form of the SOC term."""
    return functools.partial(make_loss, form=trials[0].loss)  # pyright: ignore[reportArgumentType]


def spectrum_term(observed: jax.Array, reconstructed: jax.Array, sigma: float) -> jax.Array:
    """Second term of Eq. 1: mean squared error of reflectance ``(n, M)`` in units of its standard error (0.01)."""
    _same_shape(observed, reconstructed)
    return jnp.mean(jnp.square(observed - reconstructed)) / sigma**2


def outside_unit_interval(f_soc: jax.Array) -> jax.Array:
    """Sum of squares by which a learned spectrum ``(M,)`` leaves [0, 1], times 1000.

    The published code multiplies the loss of the physics decoder by one plus this.
    """
    below, above = jnp.minimum(f_soc, 0.0), jnp.maximum(f_soc - 1.0, 0.0)
    return 1000.0 * (jnp.sum(jnp.square(below)) + jnp.sum(jnp.square(above)))


def mineral_divergence(mass: jax.Array, shares: jax.Array) -> jax.Array:
    """Mean Kullback-Leibler divergence of each soil's mineral part from a mean mineral soil, in nats.

    Args:
      mass: mass fractions ``(n, K)``, SOC last.
      shares: shares of the K - 1 minerals in the mean soil ``(K - 1,)``, positive, summing to one.

    It is no part of the paper: ours, against the degeneracy of the mixing decoder (docs/soc_spectrum.md).
    """
    minerals = mass[:, :-1]
    _same_shape(minerals[0], shares)
    own = minerals / jnp.broadcast_to(jnp.sum(minerals, axis=1, keepdims=True), minerals.shape)
    # A softmax may underflow to zero, where u ln u is zero and the gradient of its logarithm is not finite.
    safe = jnp.maximum(own, 1e-12)
    return jnp.mean(jnp.sum(own * (jnp.log(safe) - jnp.log(shares)[None, :]), axis=1))


def _same_shape(a: jax.Array, b: jax.Array) -> None:
    if a.shape != b.shape:
        raise ValueError(f"Shapes {a.shape} and {b.shape} differ; pass two arrays of one shape, none is broadcast.")
