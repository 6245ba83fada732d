"""Matrix products of dense layers while they train: float32, or of numbers rounded to bfloat16 with float32 sums.

Weights, moments, normalisation and results stay float32. Rounded factors are what mixed precision is on accelerators
(Micikevicius et al. 2018, arXiv:1710.03740; bfloat16: Kalamkar et al. 2019, arXiv:1905.12322); bfloat16 has the range
of float32, so that no loss is scaled. On a CPU without such units the same rounding costs time and saves none.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp

Products = Literal["float32", "bfloat16"]
DotGeneral = Callable[..., jax.Array]
"""``dot_general`` of a Flax dense layer: of (x (n, M), kernel (M, N), ...)."""


def plain(kind: Products) -> DotGeneral | None:
    """The product of a layer; None: Flax's own."""
    return None if kind == "float32" else lambda x, kernel, *_, **__: _rounded(x, kernel)


def scaled(scale: jax.Array, kind: Products) -> DotGeneral:
    """The product of a first layer on data ``x = scale * z``, with z without parameters (:func:`_scaled`)."""
    return lambda x, kernel, *_, **__: _scaled(kind, x, scale, kernel)


def _product(kind: Products, a: jax.Array, b: jax.Array) -> jax.Array:
    if kind == "float32":
        return jnp.matmul(a, b)
    return jnp.matmul(a.astype(jnp.bfloat16), b.astype(jnp.bfloat16), preferred_element_type=jnp.float32)


@jax.custom_vjp
def _rounded(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """``x @ kernel`` of rounded factors; so are both products of its gradient."""
    return _product("bfloat16", x, kernel)


def _rounded_forward(x: jax.Array, kernel: jax.Array) -> tuple[jax.Array, Any]:
    return _product("bfloat16", x, kernel), (x, kernel)


def _rounded_backward(kept: Any, slope: jax.Array) -> tuple[jax.Array, jax.Array]:
    x, kernel = kept
    return _product("bfloat16", slope, kernel.T), _product("bfloat16", x.T, slope)


_rounded.defvjp(_rounded_forward, _rounded_backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _scaled(kind: Products, x: jax.Array, scale: jax.Array, kernel: jax.Array) -> jax.Array:
    """``x @ kernel`` of ``x = scale * z`` (n, M), whose gradient reaches ``scale`` (M,) by way of the kernel's.

    With z fixed, d/d scale = sum over units of kernel * d/d kernel, over scale. Otherwise the gradient of ``scale``
    takes that of ``x``, a product as large as the layer's own. ``x`` itself has no gradient here.
    """
    return _product(kind, x, kernel)


def _scaled_forward(kind: Products, x: jax.Array, scale: jax.Array, kernel: jax.Array) -> tuple[jax.Array, Any]:
    return _product(kind, x, kernel), (x, scale, kernel)


def _scaled_backward(kind: Products, kept: Any, slope: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    x, scale, kernel = kept
    # By JAX's own rule, which a layer without this product takes: the same bits.
    of_kernel = (
        jax.vjp(lambda k: jnp.matmul(x, k), kernel)[1](slope)[0] if kind == "float32" else _product(kind, x.T, slope)
    )
    # A scale of exactly zero hides its gradient for this step; the moments of Adam carry it on.
    over = jnp.where(scale == 0.0, 1.0, scale)
    return jnp.zeros_like(x), jnp.sum(kernel * of_kernel, axis=1) / over, of_kernel


_scaled.defvjp(_scaled_forward, _scaled_backward)
