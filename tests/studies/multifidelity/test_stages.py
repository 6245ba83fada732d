"""A stage that diverged is recorded in its piece, and the study ends where a later stage would need it."""

from __future__ import annotations

from typing import Any
from unittest.mock import Mock

import pandas as pd
import pytest

from jaxsoil.runs.errors import DataError
from jaxsoil.runs.pieces import Piece
from jaxsoil.studies.multifidelity import stages
from jaxsoil.studies.multifidelity.config import MultifidelityConfig
from jaxsoil.studies.multifidelity.replicates import Replicate, SeedRows, SpectraSets


@pytest.mark.parametrize(
    ("restore", "stage", "option"),
    [
        (stages.restored_stage1, "stage 1", "--pretrain.loop.lr"),
        (stages.restored_stage2, "stage 2", "--convert.loop.lr"),
    ],
)
def test_what_diverged_is_not_restored(restore: Any, stage: str, option: str) -> None:
    part = Piece(tables={"convergence": pd.DataFrame([{"converged": False, "alive": False, "epochs": 3}])})
    # A diverged piece is refused before the data of the replicate are read.
    replicate = Replicate(2, Mock(spec=SpectraSets), Mock(spec=SeedRows))
    with pytest.raises(DataError, match=f"{stage} of seed 2 diverged") as raised:
        restore(MultifidelityConfig(), replicate, part)
    assert option in str(raised.value) and "after 3 epochs" in str(raised.value)
