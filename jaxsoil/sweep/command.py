"""The options of a sweep on the command line, and what they do."""

from __future__ import annotations

import argparse
import functools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxsoil.runs.errors import UsageError
from jaxsoil.sweep import asha, on_ray, sweep


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of a sweep."""
    add = parser.add_argument_group("sweeps").add_argument
    add("--sweep", metavar="NAME[,NAME]", help="run the points of sweep_NAME of the experiment's file, or FILE.py:NAME")
    add("--point", metavar="POINT", default="", help="only these points, by number from 0 or name (--plan lists them)")
    add("--launcher", choices=("local", "ray"), default="local", help="run points here in turn, or on a Ray cluster")
    add("--no-share", action="store_true", help="here: train the networks of each point in programs of its own")
    add("--ray-address", metavar="HOST:PORT", help="the Ray cluster (default: RAY_ADDRESS, else a new one here)")
    add("--ray-cpus", metavar="N", type=float, default=1.0, help="processors of a point on Ray (default: 1)")
    add("--ray-gpus", metavar="N", type=float, default=0.0, help="GPUs of a point on Ray (default: 0)")
    add("--ray-retries", metavar="N", type=int, default=3, help="attempts after a lost node (default: 3)")
    add("--ray-wait", metavar="SECONDS", type=float, default=120.0, help="wait for a lost cluster (default: 120)")
    add("--asha", action="store_true", help="on Ray: stop points early whose validation loss is worse than others'")
    add("--export", metavar="FILE.yaml", type=Path, help="write a configuration for `wandb sweep`, run nothing")


def refuse_alone(options: argparse.Namespace) -> None:
    """Raises UsageError for options of a sweep that were given without one."""
    if options.sweep is not None:
        raise UsageError("--sweep has no name: give NAME of a function sweep_NAME, or leave the option out.")
    for name in ("point", "asha", "export", "no_share"):
        if getattr(options, name):
            raise UsageError(f"--{name.replace('_', '-')} belongs to a sweep: name one with --sweep.")
    if options.launcher != "local":
        raise UsageError("--launcher belongs to a sweep: name one with --sweep.")


def main(
    options: argparse.Namespace, folder: Path, size: str, words: Sequence[str], config: Any, target: Path,
    arguments: Sequence[str],
) -> int:  # fmt: skip
    """Runs, plans or exports a sweep; returns the exit status.

    Args:
      options: of the command line.
      folder: of the experiments.
      size, words, config: the configuration that the points start from, and how it was typed.
      target: folder of the sweep.
      arguments: the whole command line.
    """
    found = sweep.make(options.sweep, options.exp, folder, size, words, config, target, options.wandb)
    if options.plan:
        print(found.plan(share=options.launcher == "local" and not options.no_share))
        return 0
    if options.export:
        if options.export.exists() and not options.overwrite:
            raise UsageError(f"{options.export} exists: replace it with --overwrite, or choose another name.")
        sweep.export(found, options.export, _without_export(arguments))
        print(f"{options.export}: {len(found.points)} points. Start it with: wandb sweep {options.export}")
        return 0
    jobs = sweep.chosen(found, options.point)
    launch = functools.partial(sweep.local, share=not options.no_share)
    if options.asha:
        if options.launcher != "ray":
            raise UsageError("--asha stops points by Ray Tune: give --launcher ray too.")
        asha.require_comparable(found.differing())
    if options.launcher == "ray":
        for name in ("ray_cpus", "ray_gpus", "ray_retries", "ray_wait"):
            if not 0 <= getattr(options, name) < math.inf:
                raise UsageError(f"--{name.replace('_', '-')} {getattr(options, name):g}: give 0 or more.")
        settings = on_ray.Settings(
            options.ray_address, options.ray_cpus, options.ray_gpus, options.ray_retries, options.ray_wait,
            options.asha,
        )  # fmt: skip
        launch = functools.partial(on_ray.launch, settings=settings)
        on_ray.require()
    found.open(arguments, options.resume, options.overwrite)
    return sweep.run(found, jobs, launch, again=not options.asha)


def _without_export(arguments: Sequence[str]) -> list[str]:
    kept, skip = [], False
    for word in arguments:
        if not skip and word not in ("--export", "--overwrite") and not word.startswith("--export="):
            kept.append(word)
        skip = word == "--export"
    return kept
