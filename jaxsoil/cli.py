"""The command line: studies (run, list, plan, report) and bundles (predict, serve, describe)."""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from jaxsoil import experiments
from jaxsoil import options as shown
from jaxsoil.runs import processes, progress, stop, tracking
from jaxsoil.runs.compiled import keep_compiled
from jaxsoil.runs.errors import DataError, UsageError, did_you_mean
from jaxsoil.runs.files import read_json, write_csv
from jaxsoil.runs.folder import RunFolder
from jaxsoil.runs.pieces import file_name
from jaxsoil.sweep import command as sweeps
from jaxsoil.sweep.execute import execute
from jaxsoil.sweep.sweep import FILE as SWEEP
from jaxsoil.sweep.sweep import reopen, write_all
from jaxsoil.web import serve

SEVERAL = "SEVERAL_PROCESSES"
"""What the module of a study is True for where several processes can share a run of it."""


def main(folder: Path, arguments: Sequence[str] | None = None) -> int:
    """Runs the command line of ``experiments/run.py``; returns the exit status.

    0: done; 1: the disk, a library or another process of the run failed; 2: refused, with a message that says what to
    do; 130: interrupted; 143: ended by SIGTERM.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    return _guarded(lambda: _main(folder, arguments))


def console(arguments: Sequence[str] | None = None) -> int:
    """Runs the command ``jaxsoil``; returns the exit status: as :func:`main`, and of ``predict`` 3 for refusals."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words and words[0] in ("run", "plan"):
        verb, *rest = words
        named = ["--exp", *rest] if rest and not rest[0].startswith("-") else rest
        return main(experiments.package_folder(), [*named, *(["--plan"] if verb == "plan" else [])])
    return _guarded(lambda: _console(words))


def _guarded(call: Callable[[], int]) -> int:
    try:
        with stop.caught():
            return call()
    except (DataError, UsageError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader of our output, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        print(f"error: the system refused a file{where}: {error.strerror or error}. Free the disk or choose another "
              "folder with --workdir; what was finished is kept, and --resume goes on from there.",
              file=sys.stderr)  # fmt: skip
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted. The same command with --resume goes on from the last checkpoint.", file=sys.stderr)
        return 130
    except stop.Terminated:
        if processes.lost():
            return processes.LOST
        print("Ended by SIGTERM. The same command with --resume goes on from where it was.", file=sys.stderr)
        return stop.STATUS


def _main(folder: Path, arguments: list[str]) -> int:
    parser = run_parser()
    options, rest = parser.parse_known_args(arguments)
    if options.list:
        print(shown.listing({name: experiments.load(name, folder) for name in experiments.discover(folder)}))
        return 0
    if options.help and not options.exp:
        print("Usage: python experiments/run.py --exp=NAME [options]\n", shown.of_command(parser), "", sep="\n")
        print("Every field of an experiment: --exp=NAME --help\n", "Experiments", sep="\n")
        print(*(f"  {name}" for name in experiments.discover(folder)), sep="\n")
        return 0
    if not options.exp:
        raise UsageError(f"Name an experiment with --exp. {did_you_mean('', experiments.discover(folder))}")
    if options.exp.endswith(".py"):  # a study of one's own (docs/own_study.md)
        folder, options.exp = experiments.file_of(options.exp)
    experiment = experiments.load(options.exp, folder)
    if options.smoke and options.paper:
        raise UsageError("--smoke and --paper exclude each other: give one of them.")
    size = "smoke" if options.smoke else "paper" if options.paper else ""
    if options.help:
        base = experiments.of_size(experiment, options.exp, size)
        about = experiments.load_file(options.exp, folder).__doc__
        print(shown.of_experiment(parser, options.exp, experiment, base, about))
        return 0
    config = experiments.configure(experiment, options.exp, size, rest)
    with progress.quietly(options.quiet):
        return _run(experiment, config, options, folder, size, rest, arguments)


def _run(
    experiment: experiments.Experiment, config: Any, options: argparse.Namespace, folder: Path, size: str,
    rest: list[str], arguments: list[str],
) -> int:  # fmt: skip
    """Plans or runs an experiment, or a sweep of it; returns the exit status."""
    target = Path(options.workdir or Path("runs") / _folder_name(options, config))
    team = processes.settings_of(options)
    if team is not None and (options.sweep or options.plan or not getattr(experiment.study_module(), SEVERAL, False)):
        what = "--sweep" if options.sweep else "--plan" if options.plan else options.exp
        raise UsageError(f"{what} runs in one process: leave --processes out (docs/devices.md).")
    if options.sweep:
        status = sweeps.main(options, folder, size, rest, config, target, arguments)
        return status if options.plan or options.export else max(status, _report_sweep(target))
    sweeps.refuse_alone(options)
    if options.plan:
        from jaxsoil.data.sources import standin
        from jaxsoil.training import cost

        keep_compiled()
        study = experiment.study_module()
        with standin.planning() as missing, cost.compiling(options.compile):
            print(study.plan(config, study.prepare(config)), *standin.in_words(missing), sep="\n")
        return 0
    run = RunFolder(target, options.exp, options.wandb, source=experiments.own_folder(folder))
    with processes.joined(team, target), progress.quietly(not processes.leads()):
        execute(experiment, config, run, arguments, resume=options.resume, overwrite=options.overwrite)
        if processes.leads():
            print(f"Report: {experiment.report_module().write_report(target)}")
            tracking.complete(run.path, run.wandb, run.read_json("config.json")["config"])
    return 0


def console_parser() -> argparse.ArgumentParser:
    """The parser of the command ``jaxsoil``; ``run`` and ``plan`` take what ``experiments/run.py`` takes."""
    parser = argparse.ArgumentParser(prog="jaxsoil", description=__doc__, allow_abbrev=False)
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    verbs.add_parser("run", help="run a study: jaxsoil run EXPERIMENT [--data NAME] ...", add_help=False)
    verbs.add_parser("plan", help="print the trials of a study and their cost", add_help=False)
    verbs.add_parser("list", help="list the experiments")
    report = verbs.add_parser("report", help="write the report of a finished run, or of a sweep, again")
    report.add_argument("folder", metavar="RUN", type=Path)
    words_of_data = "list the data sets that --data takes by name; prepare, describe them, or check one's own"
    _add_data(verbs.add_parser("data", help=words_of_data))
    describe = verbs.add_parser("describe", help="show what a bundle is and how good it was on held-out data")
    describe.add_argument("bundle", metavar="BUNDLE", type=Path)
    _add_predict(verbs.add_parser("predict", help="predict properties of instrument files with a bundle"))
    serve.add_options(verbs.add_parser("serve", help="a page on this machine that predicts files with a bundle"))
    return parser


def _console(words: list[str]) -> int:
    options = console_parser().parse_args(words)
    if options.verb == "list":
        return _main(experiments.package_folder(), ["--list"])
    if options.verb == "data":
        from jaxsoil.data.__main__ import main as list_data

        verbs: Any = {"prepare": _prepare_data, "describe": _describe_data, "check": _check_data}
        if options.data_verb:
            return verbs[options.data_verb](options)
        list_data()
        return 0
    if options.verb == "report":
        if (options.folder / SWEEP).is_file():
            write_all(reopen(options.folder))
            return _report_sweep(options.folder)
        stated = read_json(options.folder / "config.json") if (options.folder / "config.json").is_file() else {}
        if "experiment" not in stated:
            raise UsageError(f"{options.folder} holds no run (no config.json): give the folder of a finished run.")
        where = Path(stated["folder"]) if "folder" in stated else experiments.package_folder()
        module = experiments.load(stated["experiment"], where).report_module()
        print(f"Report: {module.write_report(options.folder)}")
        return 0
    if options.verb == "serve":
        return serve.main(options.bundle, options.host, options.port)
    if options.verb == "predict":
        return _predict(options)
    from jaxsoil.bundle.bundle import Bundle
    from jaxsoil.bundle.describe import describe

    print(describe(Bundle.load(options.bundle)))
    return 0


def _report_sweep(folder: Path) -> int:
    from jaxsoil.report.sweep import write_report

    print(f"Report: {write_report(folder)}")
    return 0


def _add_data(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="data_verb", metavar="VERB")
    prepare = verbs.add_parser("prepare", help="fetch a public library and make its memory map")
    prepare.add_argument("names", metavar="NAME", nargs="+", help="such as ossl_mir, neospectra_nir, raca")
    prepare.add_argument("--again", action="store_true", help="make it anew from the files at hand")
    prepare.add_argument("--accept-changed", action="store_true", help="fetch again, whatever the checksums are")
    prepare.add_argument("--records", action="store_true", help="write TensorFlow Datasets records (array_record) too")
    describe = verbs.add_parser("describe", help="print what a data set holds, and draw it")
    describe.add_argument("name", metavar="NAME", help="a data set, a public library, or a manifest")
    describe.add_argument("--figure", metavar="FILE", type=Path, help="of the figure (default: NAME.png here)")
    check = verbs.add_parser("check", help="say what is right and wrong with a manifest, and draw its spectra")
    check.add_argument("manifest", metavar="MANIFEST", type=Path, help="a .toml file (docs/own_data.md)")
    check.add_argument("--figure", metavar="FILE", type=Path, help="picture (.png; default: MANIFEST.check.png)")
    check.add_argument("--exp", metavar="NAME", action="append", help="an experiment that is to use it (default: all)")
    check.epilog = "Exit status: 0 an experiment can use the data; 2 none can, or one that was named cannot."


def _prepare_data(options: argparse.Namespace) -> int:
    from jaxsoil.data.sources.prepare import prepare
    from jaxsoil.data.sources.records import write_records

    for name in options.names:
        folder = prepare(name, again=options.again, accept=options.accept_changed)
        print(f"{name}: {folder}")
        if options.records:
            print(f"{name}: {write_records(name)}")
    return 0


def _describe_data(options: argparse.Namespace) -> int:
    from jaxsoil.data import registry
    from jaxsoil.report import library as report

    library = registry.load(options.name)
    stem = Path(options.name).stem if options.name.endswith(".toml") else library.name
    target = options.figure or Path(f"{stem}.png")
    print(report.describe(library, options.name))
    report.draw(library, target)
    print(f"\nFigure: {target}")
    return 0


def _check_data(options: argparse.Namespace) -> int:
    """Prints what is right and wrong with a manifest, draws it, and asks the experiments whether they can use it."""
    from jaxsoil.report.data_check import STUDIES, check, draw
    from jaxsoil.report.style import save

    manifest: Path = options.manifest
    picture = options.figure or manifest.with_suffix(".check.png")
    if picture.suffix.lower() != ".png":
        raise UsageError(f"--figure {picture}: give a name that ends in .png.")
    for name in options.exp or ():
        experiments.load(name, experiments.package_folder())
    checked = check(manifest)
    print(checked.text)
    if (figure := draw(checked)) is not None:
        print(f"\nFigure: {save(figure, picture.parent, picture.stem)}")
    if checked.faults:
        return 2
    print("\nExperiments (at their usual settings):")
    able, unable = 0, 0
    for name in options.exp or experiments.discover(experiments.package_folder()):
        experiment = experiments.load(name, experiments.package_folder())
        if not options.exp and experiment.study.split(".")[2] not in STUDIES[checked.kind]:
            continue
        try:
            experiment.study_module().prepare(dataclasses.replace(experiment.config, data=str(manifest)))
        except (DataError, UsageError) as error:
            unable += 1
            print(f"  {name}: no. {error}")
        else:
            able += 1
            print(f"  {name}: yes")
    return 2 if not able or (options.exp and unable) else 0


def _add_predict(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("bundle", metavar="BUNDLE", type=Path, help="folder of the bundle, such as runs/region_out-fields/bundle")
    add("files", metavar="FILE", type=Path, nargs="+", help="instrument files, tables, folders, archives; or one image")
    add("-o", "--out", metavar="OUT", type=Path, required=True, help="table (.csv), or map of an image (.tif)")
    add("--model", metavar="NAME", help="a model of the bundle (default: the one it names)")
    add("--level", type=float, default=0.9, help="nominal coverage of the intervals (default: 0.9)")
    add("--quantity", help="reflectance, reflectance_percent or absorbance, where a file does not say it")
    add("--unit", help="of the axis: nm, cm-1 or um, where a file does not say it")
    add("--overwrite", action="store_true", help="replace OUT if it exists")
    add("--quiet", action="store_true", help="no progress bar")
    parser.epilog = "Exit status: 0 all samples have a value; 3 some were refused, or bands lie where they must not."


def _predict(options: argparse.Namespace) -> int:
    from jaxsoil.bundle.bundle import Bundle

    out: Path = options.out
    if not 0.0 < options.level < 1.0:
        raise UsageError(f"--level {options.level:g}: give a share between 0 and 1, such as 0.9.")
    if out.suffix.lower() not in (".csv", ".tif", ".tiff"):
        raise UsageError(f"--out {out}: give a table (.csv), or for one image a map (.tif).")
    if out.exists() and not options.overwrite:
        raise UsageError(f"{out} exists: replace it with --overwrite, or choose another name.")
    bundle = Bundle.load(options.bundle)
    said = {"model": options.model, "level": options.level, "quantity": options.quantity, "unit": options.unit}
    if bundle.warning:
        print(f"warning: {bundle.warning}", file=sys.stderr)
    if out.suffix.lower() != ".csv":
        from jaxsoil.bundle.cube import predict_cube

        if len(options.files) != 1:
            raise UsageError("A map is of one image: give one ENVI header, or a table (.csv) as --out.")
        counts = predict_cube(bundle, options.files[0], out, progress=not options.quiet, **said)
        print(f"{out}: " + ", ".join(f"{number} {name}" for name, number in counts.items()))
        return 0 if counts["predicted"] else 3
    from jaxsoil.bundle.predict import predict_files

    found = predict_files(bundle, options.files, progress=not options.quiet, **said)
    write_csv(out, found.table, float_format="%.6g")
    for path, question in found.questions:
        print(f"question: {path}: {question}", file=sys.stderr)
    refused = found.table["refused"].to_numpy() != ""
    for file, name, reason in found.table.loc[refused, ["file", "id", "refused"]].to_numpy()[:20].tolist():
        print(f"refused: {file} {name}: {reason}", file=sys.stderr)
    flagged = sum(flags != "" for flags in found.table["flags"].tolist())
    again = sum(found.table["remeasure"].tolist())
    print(f"{out}: {found.predicted} samples predicted, {found.refused} refused, {flagged} values flagged, "
          f"{again} for the laboratory")  # fmt: skip
    return 3 if found.refused or found.questions or not found.predicted else 0


def run_parser() -> argparse.ArgumentParser:
    """The parser of ``experiments/run.py``, but for the fields of an experiment."""
    parser = argparse.ArgumentParser(
        prog="experiments/run.py", description="Runs a study of jaxsoil.", allow_abbrev=False, add_help=False
    )
    add = parser.add_argument
    add("--help", "-h", action="store_true", help="show this help, and with --exp every field of the experiment")
    add("--exp", metavar="NAME", help="the experiment: a name of --list, or the file of one's own (.py)")
    add("--list", action="store_true", help="list the experiments")
    add("--smoke", action="store_true", help="smallest size, to see that everything works")
    add("--paper", action="store_true", help="the size of the publication")
    add("--plan", action="store_true", help="print the trials and their cost, run nothing")
    words = "with --plan: compile a step of each network, and say what memory it takes"
    add("--compile", action="store_true", help=words)
    add("--resume", action="store_true", help="go on with an interrupted run in its folder")
    add("--overwrite", action="store_true", help="delete an earlier run in the folder first")
    add("--workdir", metavar="DIR", help="folder of this run (default: runs/EXP-DATA)")
    add("--quiet", action="store_true", help="no progress: print the last line, warnings and errors alone")
    words = "mirror to Weights & Biases (auto: offline unless WANDB_API_KEY is set)"
    add("--wandb", choices=tracking.MODES, default="auto", help=words)
    processes.add_options(parser)
    sweeps.add_options(parser)
    return parser


def _folder_name(options: argparse.Namespace, config: Any) -> str:
    data = Path(config.data).stem if config.data.endswith(".toml") else config.data
    size = "-smoke" if options.smoke else "-paper" if options.paper else ""
    swept = "-sweep-" + file_name(options.sweep.replace(",", "-")) if options.sweep else ""
    return f"{options.exp}-{data}{size}{swept}"


if __name__ == "__main__":
    sys.exit(console())
