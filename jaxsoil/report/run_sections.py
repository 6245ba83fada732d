"""What every report has: its opening, data, differences from the paper, convergence, time and command."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from jaxsoil.report.document import Document
from jaxsoil.report.prose import Prose
from jaxsoil.report.run_files import RunContents
from jaxsoil.report.tables import DAGGER, Table, number

PROSE = Prose("jaxsoil.report", "run")

ALIKE_NOT = (
    "Data, number of spectra, bands and training length differ from the paper's as listed under 'Settings that "
    "differ from the paper': the columns show what each found, not a like-for-like comparison."
)
"""Footnote of tables that show the paper's numbers beside ours."""


def open_document(run: RunContents, title: str, name: str = "") -> Document:
    """The document of a run, to be written into its folder: ``title`` and the ``name`` of the data, or data.json's."""
    return Document(f"{title}, data '{name or run.data.get('name', 'data')}'", run.path)


def criterion(run: RunContents) -> str:
    """What the run counts as converged."""
    return str(run.config.get("convergence", "The run states no criterion of convergence."))


def dagger_sentence(doubtful: object) -> str:
    """What a dagger means, for the opening of a report; empty where nothing is ``doubtful``."""
    if not doubtful:
        return ""
    return f"A dagger ({DAGGER}) marks every number with a network behind it that did not converge."


def dagger_note(run: RunContents, doubtful: Sequence[str]) -> tuple[str, ...]:
    """The footnote behind the daggers, with the criterion; nothing if nothing is ``doubtful`` (names and counts)."""
    if not doubtful:
        return ()
    return (f"{DAGGER} includes networks that did not converge ({'; '.join(doubtful)}). {criterion(run)}",)


def uses_table(uses: Iterable[tuple[str, ...]]) -> Table:
    """For each kind of number its name and what it took of the spectra and of the labels of the held-out part."""
    header = ("Number", "Spectra of the held-out part", "Labels of the held-out part")
    return Table("What each number of this report used.", header, tuple(uses), left=(0, 1, 2))


def differences_section(document: Document, run: RunContents) -> None:
    """Settings that differ from the publication, from ``differs_from_paper`` of config.json."""
    document.section("Settings that differ from the paper")
    differences = run.config.get("differs_from_paper")
    if not differences:
        unknown = "The run does not say how its settings compare with the paper's."
        document.text(unknown if differences is None else "None.")
        return
    rows = tuple((str(field), setting_text(ours), setting_text(paper)) for field, ours, paper in differences)
    caption = "Settings that were compared with the paper's and differ from them."
    document.table(Table(caption, ("Setting", "Here", "Paper"), rows, left=(0, 1, 2)))


def setting_text(value: object) -> str:
    """A setting as a table shows it."""
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return ", ".join(setting_text(item) for item in value)
    return "not stated" if value is None else str(value)


def timing_section(document: Document, run: RunContents, labels: Mapping[str, str] | None = None) -> None:
    """Seconds by step, compilation apart; nothing where the run has no timing.json.

    ``labels``: names of models and steps as the table shows them.
    """
    if not run.timing:
        return
    order = sorted(run.timing, key=lambda name: (name == "total_s", not name.startswith("compile"), name))
    known = {"compile": "Compilation", "total": "Whole run", **(labels or {})}
    rows = []
    for name in order:
        step = name.removesuffix("_s")
        model = step.removesuffix("_train")
        text = known.get(step, step).replace("_", " ") if model == step else f"Training: {known.get(model, model)}"
        rows.append((text, number(float(run.timing[name]), 1)))
    note = "Compilation happens once for each group of equal networks and is not part of their training time."
    environment = [setting_text(run.env[key]) for key in ("processor", "devices") if run.env.get(key)]
    table = Table("Wall-clock time of the run.", ("Step", "Seconds"), tuple(rows), (note,))
    words = [f"On {', '.join(environment)}."] if environment else []
    document.section("Time", table, *words, *PROSE.items("floors", floors=run.env.get("floors", {})))


def command_section(document: Document, run: RunContents) -> None:
    """How to repeat the run."""
    document.section("To repeat this run")
    if run.env.get("command"):
        document.command(str(run.env["command"]))
    document.add(*PROSE.items("repeat", env=run.env))


def run_sections(document: Document, run: RunContents, labels: Mapping[str, str] | None = None) -> None:
    """Writes what was run on, how long it took and the command; ``labels`` as of :func:`timing_section`."""
    document.section("Data", *PROSE.items("data", data=run.data))
    timing_section(document, run, labels)
    command_section(document, run)


def closing_sections(document: Document, run: RunContents, labels: Mapping[str, str] | None = None) -> None:
    """Writes how the settings differ from the paper's, then the run."""
    differences_section(document, run)
    run_sections(document, run, labels)
