"""What every report has: its opening, data, differences from the paper, convergence, time and command."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from jaxsoil.report.document import Document
from jaxsoil.report.tables import DAGGER, Table, number

ALIKE_NOT = (
    "Data, number of spectra, bands and training length differ from the paper's as listed under 'Settings that "
    "differ from the paper': the columns show what each found, not a like-for-like comparison."
)
"""Footnote of tables that show the paper's numbers beside ours."""


class RunRecord(Protocol):
    """The files that all runs have, as dictionaries; those that are absent are empty."""

    @property
    def path(self) -> Path:
        """The run folder."""
        ...

    @property
    def config(self) -> dict[str, Any]:
        """config.json."""
        ...

    @property
    def env(self) -> dict[str, Any]:
        """env.json."""
        ...

    @property
    def data(self) -> dict[str, Any]:
        """data.json."""
        ...

    @property
    def timing(self) -> dict[str, Any]:
        """timing.json, seconds by name."""
        ...


def open_document(run: RunRecord, title: str, name: str = "") -> Document:
    """The document of a run, to be written into its folder.

    Args:
      run: the run.
      title: what was studied; the name of the data follows.
      name: name of the data, otherwise that of data.json.
    """
    return Document(f"{title}, data '{name or run.data.get('name', 'data')}'", run.path)


def settings(run: RunRecord) -> dict[str, Any]:
    """The settings of the study, as config.json has them."""
    return run.config.get("config", {})


def criterion(run: RunRecord) -> str:
    """What the run counts as converged."""
    return str(run.config.get("convergence", "The run states no criterion of convergence."))


def dagger_sentence(doubtful: object) -> str:
    """What a dagger means, for the opening of a report; empty where nothing is ``doubtful``."""
    if not doubtful:
        return ""
    return f"A dagger ({DAGGER}) marks every number with a network behind it that did not converge."


def dagger_note(run: RunRecord, doubtful: Sequence[str]) -> tuple[str, ...]:
    """The footnote behind the daggers, with the criterion; nothing if nothing is ``doubtful`` (names and counts)."""
    if not doubtful:
        return ()
    return (f"{DAGGER} includes networks that did not converge ({'; '.join(doubtful)}). {criterion(run)}",)


def uses_table(uses: Iterable[tuple[str, ...]]) -> Table:
    """For each kind of number its name and what it took of the spectra and of the labels of the held-out part."""
    header = ("Number", "Spectra of the held-out part", "Labels of the held-out part")
    return Table("What each number of this report used.", header, tuple(uses), left=(0, 1, 2))


def differences_section(document: Document, run: RunRecord) -> None:
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


def data_section(document: Document, run: RunRecord) -> None:
    """The data of the run, with exclusions and conversions."""
    document.section("Data")
    data = run.data
    if not data:
        document.text("The run folder has no data.json.")
        return
    facts = []
    if "rows" in data and "bands" in data:
        facts.append(f"{data.get('name', 'data')}: {data['rows']} spectra of {data['bands']} bands{_axis(data)}.")
    if data.get("licence"):
        facts.append(f"Licence: {data['licence']}.")
    facts += [f"Preprocessing: {', '.join(map(str, data['steps']))}."] if data.get("steps") else []
    facts += [str(note) for note in data.get("notes", ())]
    if data.get("sha256"):
        facts.append(f"SHA-256 of the content: {data['sha256']}")
    document.bullets(facts)


def _axis(data: dict[str, Any]) -> str:
    axis = data.get("axis") or ()
    return f", {axis[0]:g} to {axis[-1]:g} {data.get('unit', '')}" if len(axis) > 1 else ""


def timing_section(document: Document, run: RunRecord, labels: Mapping[str, str] | None = None) -> None:
    """Seconds by step, compilation apart; nothing where the run has no timing.json.

    Args:
      document: receives the section.
      run: the run.
      labels: names of models and steps as the table shows them.
    """
    if not run.timing:
        return
    order = sorted(run.timing, key=lambda name: (name == "total_s", not name.startswith("compile"), name))
    rows = tuple((_step(name, labels or {}), number(float(run.timing[name]), 1)) for name in order)
    note = "Compilation happens once for each group of equal networks and is not part of their training time."
    environment = [setting_text(run.env[key]) for key in ("processor", "devices") if run.env.get(key)]
    document.section(
        "Time",
        Table("Wall-clock time of the run.", ("Step", "Seconds"), rows, (note,)),
        f"On {', '.join(environment)}." if environment else None,
    )


def _step(name: str, labels: Mapping[str, str]) -> str:
    base = name.removesuffix("_s")
    if base.endswith("_train"):
        model = base.removesuffix("_train")
        return f"Training: {labels.get(model, model)}"
    known = {"compile": "Compilation", "total": "Whole run", **labels}
    return known.get(base, base).replace("_", " ")


def command_section(document: Document, run: RunRecord) -> None:
    """How to repeat the run."""
    document.section("To repeat this run")
    command = run.env.get("command")
    if command:
        document.command(str(command))
    else:
        document.text("The run did not record its command.")
    versions = run.env.get("versions")
    if isinstance(versions, dict):
        listed = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
        document.text(f"With Python {run.env.get('python', '(unknown)')}, {listed}.")
    git = run.env.get("git")
    if isinstance(git, dict) and git.get("commit"):
        changed = ", with uncommitted changes" if git.get("modified") else ""
        document.text(f"Code at commit {git['commit']}{changed}.")


def run_sections(document: Document, run: RunRecord, labels: Mapping[str, str] | None = None) -> None:
    """Writes what was run on, how long it took and the command; ``labels`` as of :func:`timing_section`."""
    data_section(document, run)
    timing_section(document, run, labels)
    command_section(document, run)


def closing_sections(document: Document, run: RunRecord, labels: Mapping[str, str] | None = None) -> None:
    """Writes how the settings differ from the paper's, then the run."""
    differences_section(document, run)
    run_sections(document, run, labels)
