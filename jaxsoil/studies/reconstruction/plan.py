"""What a reconstruction study would cost: trials, operations, bytes, memory and time, without running it."""

from __future__ import annotations

from jaxsoil.studies.reconstruction.study import Prepared, StudyConfig
from jaxsoil.studies.reconstruction.tables import shared_data


def plan_study(config: StudyConfig, prepared: Prepared) -> str:
    """Describes the trials and their cost.

    Operations are counted of one step, bytes from shapes; the time is that of a few steps, timed here, times their
    number.
    """
    from jaxsoil.studies.reconstruction.objectives import make_loss
    from jaxsoil.training.cost import duration, estimate
    from jaxsoil.training.grid import make_groups, steps_per_epoch

    library, train = prepared.library, config.train
    data, minerals = shared_data(library, prepared.minerals)
    bands = library.spectra.n_bands
    lines = [
        f"{library.name}: {len(library)} spectra x {bands} bands, {len(prepared.splits)} splits, {config.seeds} seeds",
        "",
        "model           trials  parameters  epochs steps/epoch     TFLOP  MB/step   chunks GB/chunk  ms/step     time",
    ]
    lines += [f"{name:14} {len(prepared.splits):7d}" for name in config.baselines]
    operations = seconds = 0.0
    counted: dict[str, list[str]] = {}
    for group in make_groups(prepared.trials, train, config.devices, config.components, bands, minerals):
        steps = [steps_per_epoch(trial, train) for trial in group.trials]
        cost = estimate(group, data, train, config.devices, make_loss)
        operations, seconds = operations + cost.operations, seconds + cost.seconds
        counted.setdefault(cost.counted, []).append(group.label)
        lines.append(
            f"{group.label:14} {len(group.trials):7d} {group.parameters:11,d} {train.epochs:7d} "
            f"{f'{min(steps)}-{max(steps)}':>11} {cost.operations / 1e12:9.4g} {cost.step_bytes / 1e6:8.1f} "
            f"{f'{group.chunks} x {group.size}':>8} {cost.chunk_bytes / 1e9:8.3g} {1e3 * cost.step_seconds:8.2f} "
            f"{duration(cost.seconds):>8}"
        )
    return "\n".join(
        [
            *lines,
            "",
            "GB/chunk: counted memory of a chunk's trials on one device, which decides how many a chunk holds.",
            *(f"Operations of {', '.join(names)}: {how}." for how, names in counted.items()),
            f"Networks: {operations / 1e12:.4g} TFLOP (float32), {duration(seconds)} here if all epochs are run",
            "(timed on a few steps; early stops shorten it; baselines, evaluation and checkpoints come on top).",
            "Nothing was run.",
        ]
    )
