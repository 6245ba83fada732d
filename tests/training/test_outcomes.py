"""What trials leave, against arrays that are known."""

import numpy as np

from jaxsoil.training import outcomes
from jaxsoil.training.step import State


def state(params, best=None):
    history = {"loss": np.array([[3.0, 2.0]]), "validation_loss": np.array([[1.0, np.nan]])}
    return State(params, {}, None, best, np.zeros(1), np.zeros(1), np.array([True]), history)


def test_losses_are_those_of_training_and_validation():
    np.testing.assert_array_equal(outcomes.losses(state({})), [[[3.0, 1.0], [2.0, np.nan]]])


def test_decoder_of_the_kept_parameters():
    def decoder(level):
        return {"decoder": {"f_soc": np.full((1, 2), level), "soc_rho_r": np.array([level])}}

    f_soc, soc_rho_r = outcomes.decoder_of(state(decoder(0.1), best=(decoder(0.2), {})), 2)
    np.testing.assert_array_equal(f_soc, [[0.2, 0.2]])
    np.testing.assert_array_equal(soc_rho_r, [0.2])
    f_soc, soc_rho_r = outcomes.decoder_of(state({}), 2)
    assert f_soc.shape == (1, 2) and np.isnan(f_soc).all() and np.isnan(soc_rho_r).all()


def test_functions_are_applied_to_trials_that_stayed_finite():
    mass = np.arange(6.0).reshape(2, 3)
    made = outcomes.applied(lambda trial, of: trial * of, (10.0, 20.0), mass, [False, True], 3)
    np.testing.assert_array_equal(made, [[np.nan] * 3, [60.0, 80.0, 100.0]])
    assert np.isnan(outcomes.applied(None, (1.0,), mass[:1], [True], 2)).all()


def test_chunk_is_parted_into_its_trials():
    names = ("soc", "rmse", "latent", "abundance", "example", "f_soc", "history")
    arrays = {name: np.array([[place] * 3, [place + 0.5] * 3]) for place, name in enumerate(names)}
    arrays |= {"soc_rho_r": np.array([1.0, 2.0]), "alive": np.array([True, False])}
    first, second = outcomes.as_outcomes(arrays)
    assert (first.soc_rho_r, first.alive, second.soc_rho_r, second.alive) == (1.0, True, 2.0, False)
    np.testing.assert_array_equal(second.f_soc, [5.5] * 3)
