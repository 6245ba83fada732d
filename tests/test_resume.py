"""Every study, killed and resumed by support/resume.py.

baseline_split and rho_r are left out, which train by the code of region_out alone, and so are ilr and fno beside
multifidelity. carry_over has steps of its own: the mix, networks with local labels and other properties.

One of them is the sample that every change is tried on, beside five kills of region_out (test_kill_campaign.py) and a
run of the hybrid study that is cut short (studies/hybrid/test_run.py); ``pytest -m campaign`` runs the others.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from resume import killed_run_is_the_same

KILLED = {
    "region_out": 0.3,  # within the networks' trainings
    "carry_over": 0.7,  # within what it adds to the baselines
    "few_labels": 0.8,  # in the second stage, when states of the first one are on the disk
    "soc_spectrum": 0.5,  # between the runs that it consists of
    "multifidelity": 0.5,  # in stage 2
    "hybrid_dataset": 0.3,
    "layer_transfer": 0.3,
}
"""Share of the log that is written when the run is killed."""
SAMPLE = ("multifidelity",)
EVERY = [name if name in SAMPLE else pytest.param(name, marks=pytest.mark.campaign) for name in KILLED]


@pytest.mark.parametrize("experiment", EVERY)
def test_a_killed_run_goes_on_to_the_same_bytes(
    experiment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed_run_is_the_same(experiment, tmp_path / "killed", monkeypatch, share=KILLED[experiment])
