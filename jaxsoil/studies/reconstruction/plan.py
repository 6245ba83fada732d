"""What a reconstruction study would cost: trials, operations, bytes, memory and time, without running it."""

from __future__ import annotations

from jaxsoil.studies.reconstruction.config import StudyConfig
from jaxsoil.studies.reconstruction.prepare import StudyInputs
from jaxsoil.studies.reconstruction.train import shared_data


def plan_study(config: StudyConfig, prepared: StudyInputs) -> str:
    """Describes the trials and their cost.

    Operations are counted of one step, bytes from shapes; the time is that of a few steps, timed here, times their
    number.
    """
    from jaxsoil.studies.reconstruction.objectives import make_loss
    from jaxsoil.training import cost
    from jaxsoil.training.grid import make_groups

    library, train, devices = prepared.library, config.train, config.devices
    data, minerals = shared_data(library, prepared.minerals)
    bands, splits = library.spectra.n_bands, len(prepared.splits)
    groups = make_groups(prepared.trials, train, devices, config.components, bands, minerals)
    costs = [cost.estimate(group, data, train, devices, make_loss) for group in groups]
    baselines = [(name, splits) for name in config.baselines]
    title = f"{library.name}: {len(library)} spectra x {bands} bands, {splits} splits, {config.seeds} seeds"
    return "\n".join([title, "", *cost.table(costs, baselines, "baselines, evaluation and checkpoints")])
