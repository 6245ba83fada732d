"""One trial from data to score, to read from top to bottom.

    python examples/one_trial.py

A synthetic library of 600 soils in 6 regions, one region held out, an encoder with the physical mixing decoder,
300 steps of Adam on the loss of the reconstruction study (Coleman et al. 2024, Eq. 1), and the score on the region
that gave neither label nor spectrum. It takes about half a minute on a laptop. The studies do the same with many
trials in one program; see jaxsoil/studies/reconstruction.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxsoil.data.splits import region_out
from jaxsoil.data.twin.soil.config import TwinConfig
from jaxsoil.data.twin.soil.make import make_twin
from jaxsoil.evaluation import metrics
from jaxsoil.models.autoencoder import Autoencoder, Minerals, ModelConfig, evaluate
from jaxsoil.studies.reconstruction.objectives import outside_unit_interval, soc_term, spectrum_term

SIGMA_SOC = 0.0041  # standard error of SOC as a mass fraction (paper: 0.0041)
SIGMA_REFLECTANCE = 0.01  # standard error of reflectance (paper: 0.01)


def main(steps: int = 300, batch: int = 75, held_out: int = 0, seed: int = 0) -> dict[str, float]:
    """Trains on all regions but one and returns the scores of log10 SOC on it.

    Args:
      steps: steps of Adam.
      batch: soils in a step (paper: 75).
      held_out: number of the region that is held out.
      seed: of weights and batches.
    """
    # 1. Data: spectra (n, M) as reflectance, SOC (n,) in % by mass, minerals of the mixing model.
    library = make_twin(TwinConfig(n_samples=600, n_regions=6, n_outlying=1, n_bands=100))
    assert library.truth is not None
    spectra = jnp.asarray(library.spectra.values)
    soc = jnp.asarray(library.property("soc").values / 100.0, jnp.float32)
    known = library.truth.decoder_minerals
    minerals = Minerals(jnp.asarray(known.spectra.values), jnp.asarray(known.rho_r, jnp.float32))

    # 2. Split: row masks by group. Nothing of the held-out region is used below before the score.
    split = region_out(library)[held_out]
    train = np.flatnonzero(split.train)
    print(f"{library.name}: {train.size} soils train, {int(split.test.sum())} of region {split.held_out} are held out")

    # 3. Network: reflectance -> mass fractions (n, K), SOC last -> reflectance by mixing.
    model = Autoencoder(len(known) + 1, library.spectra.n_bands, ModelConfig(width=128, decoder="physics"))
    key = jax.random.key(seed)
    variables: Any = model.init(key, spectra[:2], minerals, train=False)
    params, stats = variables["params"], variables["batch_stats"]

    # 4. Step: the gradient of Eq. 1, moved by Adam. BatchNorm sees training rows alone.
    optimiser = optax.adam(1e-3)

    def loss(params: Any, stats: Any, x: jax.Array, y: jax.Array) -> tuple[jax.Array, Any]:
        (mass, rebuilt), updated = model.apply(
            {"params": params, "batch_stats": stats}, x, minerals, train=True, mutable=["batch_stats"]
        )
        value = soc_term(y, mass[:, -1], SIGMA_SOC) + spectrum_term(x, rebuilt, SIGMA_REFLECTANCE)
        return value * (1.0 + outside_unit_interval(params["decoder"]["f_soc"])), updated["batch_stats"]

    @jax.jit
    def step(params: Any, stats: Any, state: Any, rows: jax.Array) -> tuple[Any, Any, Any, jax.Array]:
        (value, stats), grads = jax.value_and_grad(loss, has_aux=True)(params, stats, spectra[rows], soc[rows])
        # Optax raises a float to an integer power, which strict promotion would refuse.
        with jax.numpy_dtype_promotion("standard"):
            updates, state = optimiser.update(grads, state, params)
        return optax.apply_updates(params, updates), stats, state, value

    state, draw = optimiser.init(params), np.random.default_rng(seed)
    for number in range(steps):
        rows = jnp.asarray(draw.choice(train, batch, replace=False), jnp.int32)
        params, stats, state, value = step(params, stats, state, rows)
        if number % 100 == 0 or number == steps - 1:
            print(f"step {number + 1:4d}: loss {float(value):8.2f}")

    # 5. Score: on the region that gave neither label nor spectrum.
    mass, _ = evaluate(model, {"params": params, "batch_stats": stats}, spectra[split.test], minerals)
    predicted = 100.0 * np.asarray(mass[:, -1], np.float64)
    observed = library.property("soc").values[split.test]
    scores = metrics.summary(np.log10(observed), np.log10(np.maximum(predicted, 0.01)))
    print(", ".join(f"{name} {scores[name]:.2f}" for name in ("ccc", "r2", "rmse", "bias")) + " (log10 of SOC in %)")
    return scores


if __name__ == "__main__":
    main()
