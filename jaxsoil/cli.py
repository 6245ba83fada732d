"""The command line: run, list, plan and report a study."""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxsoil.experiments import Experiment, discover, load
from jaxsoil.runs.errors import DataError, UsageError, did_you_mean
from jaxsoil.runs.folder import RunFolder, create, refuse_or_accept


def main(folder: Path, arguments: Sequence[str] | None = None) -> int:
    """Runs the command line of ``experiments/run.py``; returns the exit status.

    0: done; 1: the disk or a library failed; 2: refused, with a message that says what to do; 130: interrupted.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _main(folder, arguments)
    except (DataError, UsageError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader of our output, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        print(
            f"error: the system refused a file{where}: {error.strerror or error}. Free the disk or choose another "
            "folder with --workdir; what was finished is kept, and --resume goes on from there.",
            file=sys.stderr,
        )
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted. The same command with --resume goes on from the last checkpoint.", file=sys.stderr)
        return 130


def _main(folder: Path, arguments: list[str]) -> int:
    parser = _parser()
    options, rest = parser.parse_known_args(arguments)
    if options.list:
        for name, path in discover(folder).items():
            experiment = load(name, folder)
            print(f"{path.stem:18} {experiment.summary} [{experiment.table}]")
        return 0
    if options.help and not options.exp:
        parser.print_help()
        print("\nFields of an experiment: --exp NAME --help. Experiments: " + ", ".join(discover(folder)))
        return 0
    if not options.exp:
        raise UsageError(f"Name an experiment with --exp. {did_you_mean('', discover(folder))}")
    experiment = load(options.exp, folder)
    if options.help:
        parser.print_help()
    config = _configure(experiment, options, rest + (["--help"] if options.help else []))
    if options.plan:
        study = experiment.study_module()
        print(study.plan(config, study.prepare(config)))
        return 0
    target = Path(options.workdir or Path("runs") / _folder_name(options, config))
    run = RunFolder(target, options.exp, options.wandb)
    content = {"experiment": options.exp, "config": dataclasses.asdict(config)}
    refuse_or_accept(run, content, options.resume, options.overwrite)
    # Data come before the folder: bad input leaves no half-made run behind, and an earlier one untouched.
    study = experiment.study_module()
    data = study.prepare(config)
    precision = precision_of(config)
    create(run, content, arguments, options.overwrite, precision)
    from jaxsoil.training.devices import matmul_precision

    with matmul_precision(precision):
        study.run(config, run, data)
    report = experiment.report_module().write_report(target)
    print(f"Report: {report}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="experiments/run.py", description="Runs a study of jaxsoil.", allow_abbrev=False, add_help=False
    )
    add = parser.add_argument
    add("--help", "-h", action="store_true", help="show this help, and with --exp every field of the experiment")
    add("--exp", metavar="NAME", help="the experiment")
    add("--list", action="store_true", help="list the experiments")
    add("--smoke", action="store_true", help="smallest size, to see that everything works")
    add("--paper", action="store_true", help="the size of the publication")
    add("--plan", action="store_true", help="print the trials and their cost, run nothing")
    add("--resume", action="store_true", help="go on with an interrupted run in its folder")
    add("--overwrite", action="store_true", help="delete an earlier run in the folder first")
    add("--workdir", metavar="DIR", help="folder of this run (default: runs/EXP-DATA)")
    add(
        "--wandb",
        choices=("auto", "offline", "online", "disabled"),
        default="auto",
        help="mirror to Weights & Biases (auto: offline unless WANDB_API_KEY is set)",
    )
    return parser


def _configure(experiment: Experiment, options: argparse.Namespace, rest: list[str]) -> Any:
    import tyro

    if options.smoke and options.paper:
        raise UsageError("--smoke and --paper exclude each other: give one of them.")
    if options.paper and experiment.paper is None:
        raise UsageError(f"The experiment '{options.exp}' has no paper size; leave --paper out.")
    base = experiment.smoke if options.smoke else experiment.paper if options.paper else experiment.config
    return tyro.cli(type(base), default=base, args=rest, prog=f"experiments/run.py --exp {options.exp}")


def _folder_name(options: argparse.Namespace, config: Any) -> str:
    data = Path(config.data).stem if config.data.endswith(".toml") else config.data
    size = "-smoke" if options.smoke else "-paper" if options.paper else ""
    return f"{options.exp}-{data}{size}"


def precision_of(config: Any) -> str:
    """Precision of matrix products in a run: that of the training where a configuration states it, else highest."""
    return getattr(getattr(config, "train", None), "precision", "highest")
