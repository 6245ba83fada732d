"""Settings of the twins that cannot be: each is named with its value and a remedy."""

import dataclasses
import math

import pytest

from jaxsoil.data.twin import settings
from jaxsoil.data.twin.laboratories.config import LaboratoriesConfig
from jaxsoil.runs.errors import DataError


@dataclasses.dataclass(frozen=True)
class Config:
    count: int = -1
    noise: float = 0.5


def test_only_what_does_not_hold_is_refused():
    settings.require(Config(), "count", True, "Do.")
    with pytest.raises(DataError, match=r"^Config, column count: impossible setting of the twin \(found: -1\). Do.$"):
        settings.require(Config(), "count", False, "Do.")


@pytest.mark.parametrize("noise", [-0.1, math.inf, math.nan])
def test_floats_are_finite_and_not_negative(noise):
    settings.require_finite(Config())  # whole numbers may be negative
    with pytest.raises(DataError, match="column noise"):
        settings.require_finite(Config(noise=noise))


@pytest.mark.parametrize(
    ("field", "value"),
    {
        "laboratories": 1,
        "repeats": 0,
        "samples": 19,
        "carbon": 0,
        "transfer": 990,
        "mir_step": 0.4,
        "outliers": -1,
    }.items(),
)
def test_impossible_laboratories_are_refused(field, value):
    with pytest.raises(DataError, match=f"LaboratoriesConfig, column {field}: impossible"):
        LaboratoriesConfig(**{field: value})


def test_impossible_shares_and_noise_are_refused():
    for field, value in (("organic_share", 1.0), ("noise", -1.0)):
        with pytest.raises(DataError, match=f"LaboratoriesConfig, column {field}: impossible"):
            dataclasses.replace(LaboratoriesConfig(), **{field: value})


def test_laboratories_of_the_papers_size():
    config = LaboratoriesConfig.paper(seed=3)
    assert (config.samples, config.carbon, config.organic_matter, config.seed) == (57_000, 51_079, 5_750, 3)
    assert LaboratoriesConfig(mir_step=2.0).axis.size == 1701
