"""Loss curves from history.csv, diverged and partly missing trials included."""

import numpy as np
import pandas as pd
import pytest

from jaxsoil.report.style import looks
from jaxsoil.runs.errors import DataError
from jaxsoil.studies.reconstruction.report.reading import read_run
from jaxsoil.studies.reconstruction.report.shared_figures import loss_curves, losses_by_model


def test_curves_by_model(make_run):
    run = read_run(make_run(models=("plsr", "none", "ann"), seeds=2))
    # The fixture writes a history for every model; baselines have none in a real run.
    curves = losses_by_model(run)
    assert curves["ann"].shape == (6, 60, 2)
    np.testing.assert_allclose(curves["ann"][0, :, 1], 1.2 * np.exp(-np.arange(60) / 15.0), rtol=1e-6)
    figure = loss_curves(curves, looks({name: name for name in curves}))
    assert figure.axes[0].get_yscale() == "log"


def test_a_trial_that_stopped_and_one_without_losses(make_run):
    folder = make_run(models=("ann",))
    history = pd.read_csv(folder / "history.csv")
    first, second = history["trial"].unique()[:2]
    history = history[~((history["trial"] == first) & (history["epoch"] > 10))]
    history.loc[history["trial"] == second, ["train_loss", "validation_loss"]] = np.nan
    history.to_csv(folder / "history.csv", index=False)
    curves = losses_by_model(read_run(folder))["ann"]
    assert np.isnan(curves[0, 10:]).all() and np.isfinite(curves[0, :10]).all()
    assert np.isnan(curves[1]).all()
    loss_curves({"ann": curves}, looks({"ann": "ann"}))
    loss_curves({"ann": np.full((1, 1, 2), np.nan)}, looks({"ann": "ann"}))


def test_no_history(make_run):
    folder = make_run()
    (folder / "history.csv").unlink()
    assert losses_by_model(read_run(folder)) == {}


def test_a_damaged_history_is_named(make_run):
    folder = make_run()
    (folder / "history.csv").write_text("trial,epoch\na,1\n")
    with pytest.raises(DataError, match=r"history\.csv: columns are missing: train_loss, validation_loss"):
        read_run(folder)
