"""Rows as samples.parquet holds them, with failures that an alarm can or cannot see."""

import numpy as np
import pandas as pd


def make_samples(regions, *, models=("none", "ann"), seeds=1, n=40, failing=(), visible=True, seed=0):
    """Trials in which the held-out regions ``failing`` are predicted badly; ``visible`` raises their alarms too."""
    rng = np.random.default_rng(seed)
    frames = []
    for model in models:
        for region in regions:
            for trial_seed in range(seeds):
                for row_region in regions:
                    test = row_region == region
                    bad = test and region in failing
                    observed = 10.0 ** rng.normal(0.2, 0.3, n)
                    predicted = observed * rng.lognormal(0.0, 0.1 + 0.1 * test, n) + (8.0 if bad else 0.0)
                    raised = 4.0 if bad and visible else 1.2 if test else 1.0
                    error = np.full(n, np.nan) if model == "none" else 0.01 * raised * rng.lognormal(0.0, 0.3, n)
                    frames.append(
                        pd.DataFrame(
                            {
                                "study": "region_out",
                                "model": model,
                                "region": region,
                                "seed": trial_seed,
                                "split": "test" if test else "train",
                                "id": [f"{row_region}-{index}" for index in range(n)],
                                "row_region": row_region,
                                "observed": observed,
                                "predicted": predicted,
                                "spectrum_rmse": error,
                                "latent_distance": 3.0 * raised * rng.lognormal(0.0, 0.3, n),
                            }
                        )
                    )
    return pd.concat(frames, ignore_index=True)
