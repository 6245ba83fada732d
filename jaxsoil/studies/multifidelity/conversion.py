"""Stage 2 of the multi-fidelity study: near-infrared to mid-infrared spectra through the pre-trained latent space.

A new encoder is trained on pairs against the frozen mid-infrared decoder (section 2.3, Eqs. 4 to 6):

    || D(mean(x_NIR)) - x_MIR || + alpha_t || D'(mean(x_NIR)) - x_NIR ||,   alpha_t from 1 in the first epoch to 0,

per-spectrum L2 norms averaged over the batch. D' is that regulariser and nothing else. D is handed to the loss as a
constant: the optimiser's tree does not hold it, so neither gradients, momentum nor weight decay can move it.

The publication's encoder gives a point. Ours has a spread too, fitted afterwards with the point held fixed, so that
the point conversion stays what the publication describes. A second network gives the log variances of the latent
features; it is trained on the same pairs by the energy score

    E || D(z) - x_MIR || - E || D(z) - D(z') || / 2,   z, z' drawn from N(mean, variance),

which is Eq. 5 of a sample less half the distance of two samples, a proper score for the same norm (Gneiting and
Raftery 2007, section 4.3): the spread is that of spectra, not of latent features without a scale of their own. On
pairs that were trained on, errors are smaller than elsewhere, so one factor on all standard deviations is then chosen
on the validation pairs, by the same score. What no latent feature can express (the decoder's own error) is added band
by band, as the variance by which the squared errors of the validation pairs exceed that of the samples.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxsoil.models.config import VaeConfig
from jaxsoil.models.first import first_parameters
from jaxsoil.models.fno import Fno
from jaxsoil.models.mlp import Mlp
from jaxsoil.models.vae import Decoder, draw
from jaxsoil.runs import require
from jaxsoil.studies.multifidelity.config import ConversionConfig, FnoConfig
from jaxsoil.studies.multifidelity.pretrain import Pretrained, in_parts, norms, spectra_of
from jaxsoil.training.rows import Fitted, fit

FACTORS = tuple(np.round(np.geomspace(0.25, 8.0, 21), 4).tolist())
"""Factors on the latent standard deviations among which the validation pairs choose."""

CALIBRATION_SAMPLES = 32
"""Samples of each validation pair by which the standard deviations are calibrated."""


@dataclasses.dataclass(frozen=True, eq=False)
class Conversion:
    """A trained conversion of near-infrared to mid-infrared SNV absorbance.

    ``params``: of the encoder ("encoder"), its regulariser ("nir_decoder"), the spread ("spread") and the frozen
    mid-infrared decoder ("decoder"). ``factor`` on the latent standard deviations; ``residual`` (M,) variance that is
    added to that of samples.
    """

    networks: Networks
    params: dict[str, Any]
    factor: float
    residual: np.ndarray

    def embed(self, nir: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean, the embedding, and log variance (n, latents), its factor included, of SNV absorbance (n, B)."""
        nir = spectra_of(nir, "near-infrared spectra", self.networks.nir_bands)
        mean, logvar = in_parts(lambda x: _embed(self.networks, self.params, x), nir)
        return mean, logvar + np.float32(2.0 * np.log(self.factor))

    def convert(self, nir: np.ndarray) -> np.ndarray:
        """The point conversion: mid-infrared SNV absorbance (n, M) decoded from the latent means."""
        return self.decode(self.embed(nir)[0])

    def decode(self, latent: np.ndarray) -> np.ndarray:
        """Mid-infrared SNV absorbance (n, M) of latent features (n, latents), by the frozen decoder."""
        return in_parts(lambda z: (_apply_jit(self.networks.decoder, self.params["decoder"], z),), latent)[0]

    def latent_samples(self, nir: np.ndarray, key: jax.Array, n: int) -> np.ndarray:
        """``n`` draws of the latent features (n, rows, latents) for each spectrum."""
        mean, logvar = (jnp.asarray(x) for x in self.embed(nir))
        return np.stack([np.asarray(draw(mean, logvar, jax.random.fold_in(key, i))) for i in range(n)])

    def sample(self, nir: np.ndarray, key: jax.Array, n: int) -> np.ndarray:
        """``n`` mid-infrared spectra (n, rows, M) for each spectrum: the latent samples, decoded."""
        return np.stack([self.decode(z) for z in self.latent_samples(nir, key, n)])

    def spread(self, nir: np.ndarray, key: jax.Array, n: int = 64) -> np.ndarray:
        """Predictive standard deviation (rows, M): that of ``n`` samples around the point conversion, and the
        residual of each band."""
        around = self.sample(nir, key, n) - self.convert(nir)[None]
        return np.sqrt(np.mean(np.square(around), axis=0) + self.residual[None, :])


@dataclasses.dataclass(frozen=True)
class Networks:
    """The four networks of stage 2, from their shapes."""

    config: ConversionConfig
    vae: VaeConfig
    bands: int
    nir_bands: int

    @property
    def encoder(self) -> nn.Module:
        """Latent means of near-infrared spectra (Eq. 4)."""
        return Mlp(self.vae.latents, self.config.widths, self.vae.activation)

    @property
    def nir_decoder(self) -> nn.Module:
        """The regulariser of Eq. 6."""
        return Mlp(self.nir_bands, self.config.widths[::-1], self.vae.activation)

    @property
    def variances(self) -> nn.Module:
        """Log variances of the latent features."""
        return Mlp(self.vae.latents, self.config.spread_widths, self.vae.activation)

    @property
    def decoder(self) -> nn.Module:
        """The pre-trained mid-infrared decoder."""
        return Decoder(self.bands, self.vae)

    def init(self, key: jax.Array) -> tuple[dict[str, Any], Any]:
        """Initial parameters of encoder and regulariser, and of the spread."""
        of_encoder, of_decoder, of_variances = jax.random.split(key, 3)
        spectra, latents = (2, self.nir_bands), (2, self.vae.latents)
        params = {
            "encoder": first_parameters(self.encoder, of_encoder, spectra),
            "nir_decoder": first_parameters(self.nir_decoder, of_decoder, latents),
        }
        return params, first_parameters(self.variances, of_variances, spectra)


@dataclasses.dataclass(frozen=True)
class ConversionLoss:
    """Eq. 5 + alpha Eq. 6; ``shared`` holds the frozen decoder's parameters."""

    networks: Networks

    def __call__(self, params: Any, stats: Any, batch: Any, key: Any, progress: jax.Array, *, shared: Any) -> Any:
        mean = _apply(self.networks.encoder, params["encoder"], batch["nir"])
        mir = jnp.mean(norms(_apply(self.networks.decoder, shared, mean) - batch["mir"]))
        nir = jnp.mean(norms(_apply(self.networks.nir_decoder, params["nir_decoder"], mean) - batch["nir"]))
        alpha = 1.0 - progress
        return mir + alpha * nir, (stats, {"mir": mir, "nir": nir, "alpha": alpha})


@dataclasses.dataclass(frozen=True)
class SpreadLoss:
    """Energy score of two samples; ``shared`` holds the parameters of decoder and encoder, which stay."""

    networks: Networks

    def __call__(self, params: Any, stats: Any, batch: Any, key: Any, progress: jax.Array, *, shared: Any) -> Any:
        # The same noise at each validation, so that epochs compare.
        key = jax.random.key(0) if key is None else key
        mean = _apply(self.networks.encoder, shared["encoder"], batch["nir"])
        logvar = _apply(self.networks.variances, params, batch["nir"])
        return energy_score(self.networks, shared["decoder"], mean, logvar, batch["mir"], key), (stats, {})


def energy_score(
    networks: Networks, decoder: Any, mean: jax.Array, logvar: jax.Array, mir: jax.Array, key: jax.Array
) -> jax.Array:
    """Energy score of the decoded Gaussian, unbiased from two samples of each row; lower is better."""
    pair = [_apply(networks.decoder, decoder, draw(mean, logvar, k)) for k in jax.random.split(key)]
    error = 0.5 * (norms(pair[0] - mir) + norms(pair[1] - mir))
    return jnp.mean(error - 0.5 * norms(pair[0] - pair[1]))


def fit_conversion(
    pretrained: Pretrained,
    nir: np.ndarray,
    mir: np.ndarray,
    train: np.ndarray,
    validation: np.ndarray,
    config: ConversionConfig,
    key: jax.Array,
    *,
    label: str = "stage 2",
) -> tuple[Conversion, Fitted, Fitted]:
    """Trains the conversion on pairs and calibrates its spread; where a training is not ``alive`` nothing is of use.

    Args:
      pretrained: stage 1, whose decoder stays as it is.
      nir, mir: SNV absorbance (n, B) and (n, M) of the same samples, row by row.
      train, validation: row numbers or masks (n,); the latter choose the epoch and calibrate the spread. Without
        them the last training loss decides and the spread is as trained, which is too narrow.
      config, key: settings, random key.

    Returns:
      The conversion; the training of its point, with the terms "mir" (Eq. 5), "nir" (Eq. 6 without alpha) and "alpha";
      that of its spread.

    Raises:
      DataError: rows that do not pair, or other mid-infrared bands than the decoder's.
    """
    nir, mir = _paired(nir, mir, pretrained.axis.size)
    networks = Networks(config, pretrained.config.vae, mir.shape[1], nir.shape[1])
    decoder = pretrained.params["decoder"]
    keys = [jax.random.fold_in(key, i) for i in range(4)]
    start, variances = networks.init(keys[0])
    rows = ({"nir": nir, "mir": mir}, train, validation)
    point = fit(ConversionLoss(networks), start, *rows, config.loop, keys[1], label=label, shared=decoder)
    frozen = {"decoder": decoder, "encoder": point.params["encoder"]}
    label = f"{label}, spread"
    spread = fit(SpreadLoss(networks), variances, *rows, config.spread_loop, keys[2], label=label, shared=frozen)
    params = jax.tree.map(np.asarray, {**point.params, "spread": spread.params, "decoder": decoder})
    made = Conversion(networks, params, 1.0, np.zeros(networks.bands))
    if len(nir[validation]) and point.alive and spread.alive:
        made = _calibrated(made, nir[validation], mir[validation], keys[3])
    return made, point, spread


def _calibrated(made: Conversion, nir: np.ndarray, mir: np.ndarray, key: jax.Array) -> Conversion:
    """Chooses the factor by the energy score of validation pairs, then the residual variance of each band."""
    mean, logvar = (jnp.asarray(x) for x in made.embed(nir))
    score = functools.partial(_mean_score, made.networks, made.params["decoder"], mean)
    keys = jax.random.split(key, CALIBRATION_SAMPLES)
    scores = [float(score(logvar + 2.0 * float(np.log(f)), jnp.asarray(mir), keys)) for f in FACTORS]
    made = dataclasses.replace(made, factor=FACTORS[int(np.argmin(scores))])
    squares = np.mean(np.square(made.convert(nir) - mir, dtype=np.float64), axis=0)
    sampled = np.mean(np.square(made.spread(nir, key, CALIBRATION_SAMPLES), dtype=np.float64), axis=0)
    return dataclasses.replace(made, residual=np.maximum(squares - sampled, 0.0))


@dataclasses.dataclass(frozen=True)
class FnoLoss:
    """Eq. 5 of the operator: per-spectrum L2 norm, averaged over the batch."""

    model: Fno

    def __call__(self, params: Any, stats: Any, batch: Any, key: Any, progress: jax.Array) -> Any:
        return jnp.mean(norms(_apply(self.model, params, batch["nir"]) - batch["mir"])), (stats, {})


def fit_fno(
    nir: np.ndarray,
    mir: np.ndarray,
    train: np.ndarray,
    validation: np.ndarray,
    config: FnoConfig,
    key: jax.Array,
    *,
    label: str = "FNO",
) -> tuple[Fno, Fitted]:
    """Trains a Fourier neural operator on pairs, from scratch (Appendix C), without a latent space.

    Args: as for :func:`fit_conversion`. Both axes must have equal steps.

    Returns:
      The operator from near-infrared to mid-infrared SNV absorbance, for :func:`apply_fno`, and its training.
    """
    nir, mir = _paired(nir, mir)
    model = Fno(mir.shape[1], config.width, config.layers, config.modes)
    params = first_parameters(model, jax.random.fold_in(key, 0), (2, nir.shape[1]))
    arrays = {"nir": nir, "mir": mir}
    made = fit(FnoLoss(model), params, arrays, train, validation, config.loop, key, label=label)
    return model, made


def apply_fno(model: Fno, fitted: Fitted, nir: np.ndarray) -> np.ndarray:
    """Mid-infrared SNV absorbance (n, M) of near-infrared spectra; NaN from a training that diverged."""
    if not fitted.alive:
        return np.full((len(nir), model.outputs), np.nan, np.float32)
    return in_parts(lambda x: (_apply_jit(model, fitted.params, x),), nir)[0]


def _paired(nir: np.ndarray, mir: np.ndarray, bands: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    spectra = (spectra_of(nir, "near-infrared spectra"), spectra_of(mir, "mid-infrared spectra", bands))
    require.same_length({"near-infrared": spectra[0], "mid-infrared spectra": spectra[1]})
    return spectra


def _apply(model: nn.Module, params: Any, x: jax.Array) -> jax.Array:
    result: Any = model.apply({"params": params}, x)
    return result


_apply_jit = jax.jit(_apply, static_argnums=0)


@functools.partial(jax.jit, static_argnums=0)
def _embed(networks: Networks, params: Any, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    return _apply(networks.encoder, params["encoder"], x), _apply(networks.variances, params["spread"], x)


@functools.partial(jax.jit, static_argnums=0)
def _mean_score(networks: Networks, decoder: Any, mean, logvar, mir, keys) -> jax.Array:
    return jnp.mean(jax.lax.map(lambda k: energy_score(networks, decoder, mean, logvar, mir, k), keys))
