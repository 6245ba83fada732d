"""Encoders and decoders of the structured spectral reconstruction study (Coleman et al. 2024, section 2).

The layer order follows the study's published code; the parameter counts are tested against the
closed form ``514 M + 513 K + 792,576`` (M bands, K endmembers, width 512).
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxsoil.models.config import Input
from jaxsoil.models.products import Products, plain, scaled
from jaxsoil.physics import mixing

EncoderKind = Literal["mlp", "cnn", "attention"]
DecoderKind = Literal["none", "ann", "physics", "physics_no_rho"]
Initialisation = Literal["lecun", "pytorch"]


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """Shape of a network; everything here is static and belongs to the compiled program."""

    encoder: EncoderKind = "mlp"
    """'mlp' is the paper's; 'cnn' and 'attention' are for ablations."""
    decoder: DecoderKind = "none"
    """What reconstructs the spectrum from the mass fractions."""
    width: int = 512
    """Units of each hidden layer (paper: 512)."""
    hidden: int = 3
    """Hidden blocks after the first one (paper: 3)."""
    momentum: float = 0.9
    """Share of the old running statistics that BatchNorm keeps at each step."""
    initialisation: Initialisation = "lecun"
    """First weights of the dense layers: 'lecun', normal of variance 1 / inputs with biases 0 (Flax's default), or
    'pytorch', weights and biases uniform in +-1 / sqrt(inputs) (the published code's): a third of that variance."""
    input: Input = "reflectance"
    """What the encoder sees (paper: reflectance); a decoder reconstructs reflectance all the same."""

    @property
    def physical(self) -> bool:
        """Whether the decoder is the mixing model, with or without rho r."""
        return self.decoder.startswith("physics")


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Minerals:
    """Constants of the mixing decoder: ``spectra`` (K - 1, M) reflectance and ``rho_r`` (K - 1,) g cm-3 nm.

    ``shares`` (K - 1,): each mineral's share in a mean soil, for a loss that wants it; the decoder does not use it.
    """

    spectra: Any
    rho_r: Any
    shares: Any = None


def encoder_input(reflectance: jax.Array, kind: Input) -> jax.Array:
    """What an encoder sees of reflectance ``(n, M)``, each spectrum by itself (:mod:`jaxsoil.spectra.preprocess`).

    Studies refuse reflectance that has no absorbance and spectra that are flat; here both stay finite.
    """
    if kind == "reflectance":
        return reflectance
    absorbance = -jnp.log10(jnp.maximum(reflectance, 1e-6))
    if kind == "absorbance":
        return absorbance
    centred = absorbance - jnp.mean(absorbance, axis=1, keepdims=True)
    spread = jnp.sqrt(jnp.sum(jnp.square(centred), axis=1, keepdims=True) / max(1, reflectance.shape[1] - 1))
    return centred / jnp.maximum(spread, 1e-6)


class _RemovedBias(nn.Module):
    """Adds a bias that the next BatchNorm takes out again: a parameter (it counts in the paper) without gradient.

    Its gradient is zero in exact arithmetic. In floating point it is rounding noise, which Adam scales up to full
    steps; running statistics lag behind those, and predictions would differ by a percent between machines.
    """

    start: Any = nn.initializers.zeros

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        bias = self.param("bias", self.start, (x.shape[-1],))
        return x + jax.lax.stop_gradient(bias)[None, :]


def _batch_norm(momentum: float, train: bool, use_bias: bool = True) -> nn.BatchNorm:
    return nn.BatchNorm(use_running_average=not train, momentum=momentum, epsilon=1e-5, use_bias=use_bias)


def _starts(inputs: int, initialisation: Initialisation) -> dict[str, Any]:
    """Initialisers of a dense layer's weights and bias (:attr:`ModelConfig.initialisation`).

    ``torch.nn.Linear`` draws its weights by ``kaiming_uniform_(a=sqrt(5))``, whose bound sqrt(6 / ((1 + a^2) inputs))
    is 1 / sqrt(inputs), that of its biases.
    """
    if initialisation == "lecun":
        return {"kernel_init": nn.initializers.lecun_normal(), "bias_init": nn.initializers.zeros}
    bound = 1.0 / math.sqrt(inputs)

    def draw(key: jax.Array, shape: Any, dtype: Any = jnp.float32) -> jax.Array:
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return {"kernel_init": draw, "bias_init": draw}


def _dense(x: jax.Array, outputs: int, initialisation: Initialisation) -> jax.Array:
    return nn.Dense(outputs, **_starts(x.shape[-1], initialisation))(x)


class Trunk(nn.Module):
    """BatchNorm -> (1 + hidden) x [Dense -> BatchNorm -> ReLU] -> Dense, shared by encoder and ANN decoder.

    ``of_data``: what comes in are data; no gradient with respect to them is taken while training. ``products``: how its
    matrix products are taken while training.
    """

    outputs: int
    width: int
    hidden: int
    momentum: float
    initialisation: Initialisation = "lecun"
    of_data: bool = False
    products: Products = "float32"

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        first = _batch_norm(self.momentum, train, use_bias=False)
        x = _RemovedBias()(first(x))
        for layer in range(1 + self.hidden):
            starts, product = _starts(x.shape[-1], self.initialisation), None
            if layer == 0 and train and self.of_data:
                x, scale = jax.lax.stop_gradient(x), first.variables["params"]["scale"]
                product = scaled(scale, self.products)
            elif train:
                product = plain(self.products)
            x = nn.Dense(self.width, use_bias=False, kernel_init=starts["kernel_init"], dot_general=product)(x)
            x = _RemovedBias(starts["bias_init"])(x)
            x = nn.relu(_batch_norm(self.momentum, train)(x))
        last = plain(self.products) if train else None
        return nn.Dense(self.outputs, **_starts(x.shape[-1], self.initialisation), dot_general=last)(x)


class ConvTrunk(nn.Module):
    """Three strided convolutions along the bands, then one dense layer: neighbouring bands share their weights."""

    outputs: int
    width: int
    momentum: float
    initialisation: Initialisation = "lecun"

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        x = _batch_norm(self.momentum, train)(x)[..., None]
        for features in (16, 32, 32):
            x = nn.Conv(features, (7,), strides=(2,), use_bias=False)(x)
            x = nn.relu(_batch_norm(self.momentum, train)(x))
        x = nn.relu(_dense(x.reshape(x.shape[0], -1), self.width, self.initialisation))
        return _dense(x, self.outputs, self.initialisation)


class AttentionTrunk(nn.Module):
    """A transformer block over patches of 8 bands, mean pooled."""

    outputs: int
    width: int
    momentum: float
    initialisation: Initialisation = "lecun"
    patch: int = 8
    features: int = 64

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        x = _batch_norm(self.momentum, train)(x)
        count = -(-x.shape[1] // self.patch)
        x = jnp.pad(x, ((0, 0), (0, count * self.patch - x.shape[1]))).reshape(x.shape[0], count, self.patch)
        place = self.param("place", nn.initializers.normal(0.02), (count, self.features))
        x = _dense(x, self.features, self.initialisation) + place[None]
        for _ in range(2):
            x = x + nn.MultiHeadDotProductAttention(num_heads=4)(nn.LayerNorm()(x))
            inner = nn.gelu(_dense(nn.LayerNorm()(x), 2 * self.features, self.initialisation))
            x = x + _dense(inner, self.features, self.initialisation)
        x = nn.relu(_dense(jnp.mean(nn.LayerNorm()(x), axis=1), self.width, self.initialisation))
        return _dense(x, self.outputs, self.initialisation)


class Encoder(nn.Module):
    """Mass fractions from a spectrum; the last component is soil organic carbon.

    Maps what it sees of reflectance ``(n, M)`` (:func:`encoder_input`) to mass fractions ``(n, K)`` that are positive
    and sum to one (LeakyReLU(0.01), then softmax).
    """

    components: int
    config: ModelConfig
    products: Products = "float32"

    @nn.compact
    def __call__(self, seen: jax.Array, train: bool) -> jax.Array:
        c = self.config
        if c.encoder == "cnn":
            trunk: nn.Module = ConvTrunk(self.components, c.width, c.momentum, c.initialisation)
        elif c.encoder == "attention":
            trunk = AttentionTrunk(self.components, c.width, c.momentum, c.initialisation)
        else:
            shape = (self.components, c.width, c.hidden, c.momentum, c.initialisation)
            trunk = Trunk(*shape, of_data=True, products=self.products)
        return nn.softmax(nn.leaky_relu(trunk(seen, train), 0.01))


class AnnDecoder(nn.Module):
    """Reflectance ``(n, M)`` from mass fractions ``(n, K)``: the encoder's shape with M and K swapped, sigmoid."""

    bands: int
    config: ModelConfig
    products: Products = "float32"

    @nn.compact
    def __call__(self, mass: jax.Array, train: bool) -> jax.Array:
        c = self.config
        shape = (self.bands, c.width, c.hidden, c.momentum, c.initialisation)
        return nn.sigmoid(Trunk(*shape, products=self.products)(mass, train))


class MixingDecoder(nn.Module):
    """The mixing model with a learned SOC spectrum (Coleman et al. 2024, Eq. 2).

    Learns ``f_soc`` (M,), which starts at 0.5, and ``soc_rho_r`` (), (rho r)_SOC in g cm-3 nm, which starts at the
    mean over the minerals: M + 1 parameters. Without rho r all area fractions equal the mass fractions (the paper's
    Appendix B) and only ``f_soc`` is learned. Mineral spectra and their rho r are constants.
    """

    bands: int
    with_rho_r: bool

    @nn.compact
    def __call__(self, mass: jax.Array, minerals: Minerals) -> jax.Array:
        f_soc = self.param("f_soc", nn.initializers.constant(0.5), (self.bands,))
        endmembers = jnp.concatenate([minerals.spectra, f_soc[None, :]])
        if not self.with_rho_r:
            return jnp.matmul(mass, endmembers)
        rho_r = self.param("soc_rho_r", lambda _: jnp.mean(minerals.rho_r))
        return mixing.mix(mass, jnp.concatenate([minerals.rho_r, rho_r[None]]), endmembers)


class Autoencoder(nn.Module):
    """An encoder and, unless ``config.decoder`` is "none", a decoder.

    Returns the mass fractions ``(n, K)`` and the reconstructed reflectance ``(n, M)``, or None without a decoder.
    The mixing decoder needs K - 1 ``minerals``; the others take none. While training (``train``) a multilayer encoder
    gives no gradient with respect to the spectra, and its layers' products are taken as ``products`` says; the mixing
    decoder's are always float32.
    """

    components: int
    bands: int
    config: ModelConfig
    products: Products = "float32"

    @nn.compact
    def __call__(
        self, reflectance: jax.Array, minerals: Minerals | None = None, *, train: bool
    ) -> tuple[jax.Array, jax.Array | None]:
        seen = encoder_input(reflectance, self.config.input)
        mass = Encoder(self.components, self.config, self.products, name="encoder")(seen, train)
        if self.config.decoder == "none":
            return mass, None
        if self.config.physical:
            if minerals is None:
                raise ValueError("The mixing decoder needs its minerals: pass Minerals(spectra, rho_r).")
            with_rho_r = self.config.decoder == "physics"
            return mass, MixingDecoder(self.bands, with_rho_r, name="decoder")(mass, minerals)
        return mass, AnnDecoder(self.bands, self.config, self.products, name="decoder")(mass, train)


def evaluate(
    model: Autoencoder, variables: Any, reflectance: jax.Array, minerals: Minerals | None = None
) -> tuple[jax.Array, jax.Array | None]:
    """Applies a network with its stored BatchNorm statistics; see :class:`Autoencoder` for the result."""
    result: Any = model.apply(variables, reflectance, minerals, train=False)
    return result


def parameter_count(tree: object) -> int:
    """Number of scalars in a tree of arrays (or of their shapes)."""
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))
