"""Report of the models that are to carry over to regions never seen: what each part gains, and where it fails."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from jaxsoil.report import figures, style
from jaxsoil.report.document import Document
from jaxsoil.report.prose import Prose
from jaxsoil.report.run_files import where
from jaxsoil.report.run_sections import closing_sections, open_document
from jaxsoil.report.tables import Table, number, pivot_table, plus_minus
from jaxsoil.studies.reconstruction.local_networks import FEW, FINETUNED
from jaxsoil.studies.reconstruction.report import region_sections, scores, sections
from jaxsoil.studies.reconstruction.report.reading import MODEL_LABELS, Run, model_label, read_run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PROSE = Prose(__package__, "carry_over")
_REFERENCE, _OURS = "plsr_absorbance", "carry_over"
_SHOWN = ("plsr", _REFERENCE, "random_forest", _OURS, "carry_over_mix")
"""Models of the figure by region and of the curve of local labels."""
_GAINS = ("ccc", "rmse", "abs_bias")
"""Metrics whose gains over the reference are shown."""
_HEADS = {
    "ccc": "CCC", "rmse": "RMSE (log10 %)", "abs_bias": "Size of the bias (log10 %)", "spread": "SD about it (log10 %)",
}  # fmt: skip
_STATES = {"air_dry": "air-dry", "wet_dried_1day": "wetted, dried for a day", "wet": "wet"}
_STEPS = {"finetuned": "Networks with local labels, latent features", "properties": "Other properties"}
_EXTRA = {"epo_measured": "EPO by measured wet spectra, and PLSR"}


def write_report(run_folder: str | os.PathLike[str]) -> Path:
    """Writes report.md, report.html and figures/ into the folder of a finished run; returns the path of the HTML.

    Raises:
      DataError: if a file of the run is missing or damaged.
    """
    run = read_run(run_folder)
    document = open_document(run, "Models that carry over to regions never seen", run.name)
    gains = run.table("gains")
    tables = {part: _gains(gains, part, run) for part in dict.fromkeys(gains["regions"])}
    figure = gain_figure(where(gains, regions="all"))
    picture = document.picture(figure, "gains", _PROSE.text("gains_caption"))
    document.opening(_found(run), picture, _short(tables["all"], gains), "What each part gains")
    document.section("What was run", *_PROSE.items("opening", run=run))
    document.section("What each part gains", *tables.values())
    common = "Mean over regions ± standard error (SD/√n over regions), held-out regions."
    if "mix" in run.tables:
        document.text(_PROSE.text("mix", weights=_weights(run.tables["mix"])))
    document.section("All scores", *scores.mean_tables(run, common), list(region_sections.scale_notes(run)))
    shown = style.looks({name: model_label(name) for name in _SHOWN if name in run.models}, order=_SHOWN)
    dots = [dot for dot in scores.ccc_dots(run) if dot.model in shown]
    label = "CCC of log10 SOC in the held-out region (dimensionless)"
    figure = figures.metric_by_region(dots, shown, label=label, lower=-0.2)
    picture = document.picture(figure, "ccc_by_region", _PROSE.text("region_caption"))
    document.section("By region", picture, *_by_region(run))
    _property_section(document, run)
    _local_section(document, run, shown)
    _moisture_section(document, run)
    sections.exposure_section(document, run, _PROSE.rows("uses", local="local_labels" in run.tables))
    closing_sections(document, run, {**MODEL_LABELS, **_STEPS})
    return document.write()


def _weights(mix: pd.DataFrame) -> str:
    """PLSR's weights in the mix, and in how many regions each was chosen."""
    counts = mix["weight"].value_counts().sort_index()
    return ", ".join(f"{weight:g} in {count}" for weight, count in counts.items())


def _label(name: str) -> str:
    """A model of the test of moisture, whose names may end with the moisture they were penalised for."""
    if name in _EXTRA:
        return _EXTRA[name]
    moist = name.endswith("_moist")
    return model_label(name.removesuffix("_moist")) + (", field moisture" if moist else "")


def _found(run: Run) -> str:
    """The first three sentences: the gain of the carry-over model over its reference, where, and how sure it is."""
    rows: Any = where(run.table("gains"), model=_OURS, regions="all").set_index("metric")
    if not len(rows) or rows["n"].max() < 2:
        return _PROSE.text("none_found", run=run)
    parts = {"CCC": "ccc", "RMSE": "rmse", "size of the bias": "abs_bias"}
    texts = [f"{name} {plus_minus(rows.loc[key, 'gain'], rows.loc[key, 'gain_se'], 3)}" for name, key in parts.items()]
    sure = scores.interval(run, (_REFERENCE, _OURS), "log10", "rmse")
    values = {"row": rows.loc["rmse"], "ccc": rows.loc["ccc"], "sure": sure}
    return _PROSE.text("found", gain=", ".join(texts), interval=scores.interval_text(sure, "rmse"), **values)


def _short(table: Table, gains: pd.DataFrame) -> Table:
    """Scores and gain in RMSE: the carry-over model and its reference first, then by mean CCC."""
    rows: Any = where(gains, regions="all", metric="ccc").sort_values("mean", ascending=False)
    order = [model_label(name) for name in (_OURS, _REFERENCE, *rows["model"])]
    places = sorted(range(len(table.rows)), key=lambda at: order.index(table.rows[at][0]))
    return table.part((0, 1, 2, -3, -1), places)


def _gains(gains: pd.DataFrame, part: str, run: Run) -> Table:
    """Means and gains over the regions of a part, a row for each model."""
    found: Any = where(gains, regions=part).set_index(["model", "metric"])
    rows = []
    for model in [name for name in run.models if name in found.index.get_level_values("model")]:
        own = found.loc[model]
        better = "" if model == _REFERENCE else f"{own.loc['rmse', 'better']} of {own.loc['rmse', 'n']}"
        rows.append((model_label(model), *_cells(own, model, _HEADS), better))
    kept = {"all": f"all {len(run.regions)} held-out regions"}
    kept |= {"measured": f"the {len(run.measured)} held-out regions whose SOC was measured"}
    header = ("Model", *_HEADS.values(), "Gain, CCC", "Gain, RMSE", "Gain, bias", "Regions better, RMSE")
    notes = _PROSE.notes("gains_notes", fields=run.name.startswith("fields"))
    return Table(_PROSE.text("gains_title", regions=kept[part]), header, tuple(rows), notes)


def _cells(own: Any, model: str, shown: Iterable[str]) -> list[str]:
    """Means of a model's metrics, the rows of ``own``, and its gains over the reference."""
    means = [number(own.loc[metric, "mean"], 3) for metric in shown]
    if model == _REFERENCE:
        return means + ["reference"] * len(_GAINS)
    return means + [plus_minus(own.loc[metric, "gain"], own.loc[metric, "gain_se"], 3) for metric in _GAINS]


@style.styled
def gain_figure(gains: pd.DataFrame) -> Figure | None:
    """Paired gains in CCC and RMSE with their standard errors, a line for each model; None with one region."""
    gains = pd.DataFrame(gains[gains["model"] != _REFERENCE])
    if not np.isfinite(np.asarray(gains["gain_se"], float)).any():
        return None
    names = [name for name in MODEL_LABELS if name in set(gains["model"])][::-1]
    figure, axes = style.grid(2, most=2, panel=0.9 + 0.2 * len(names), extra=0.1, sharey=True)
    for axis, (metric, label) in zip(axes.ravel(), {"ccc": "CCC", "rmse": "RMSE (log10 %)"}.items(), strict=True):
        rows = where(gains, metric=metric).set_index("model").loc[names]
        color = [style.OKABE_ITO[3] if name == _OURS else style.OKABE_ITO[2] for name in names]
        axis.axvline(0.0, color=style.GREY, linewidth=0.8)
        for place, shade in enumerate(color):
            row = rows.iloc[place]
            axis.errorbar(row["gain"], place, xerr=row["gain_se"], fmt="o", color=shade, markersize=4, linewidth=1.2)
        axis.set_yticks(range(len(names)), [model_label(name) for name in names])
        axis.set_xlabel(f"Gain in {label}")
        axis.locator_params(axis="x", nbins=5)
        style.light_grid(axis, "x")
    return figure


def _by_region(run: Run) -> list[Table]:
    """CCC and bias of every model in every held-out region."""
    tables = []
    for metric, name, digits in (("ccc", "CCC of log10 SOC", 2), ("bias", "Bias of log10 SOC (log10 %)", 2)):
        rows = where(run.results, split="test", scale="log10", metric=metric)
        tables.append(
            pivot_table(
                rows,
                {"model": "Model"},
                "region",
                "value",
                title=f"{name} by held-out region.",
                fmt=digits,
                order={"model": run.models, "region": run.regions},
                labels={"model": model_label, "region": run.region_label},
            )
        )
    return tables


def _property_section(document: Document, run: Run) -> None:
    """Adds the scores of other properties; nothing where the run has none."""
    if "property_gains" not in run.tables:
        return
    tables, found = [], run.tables["property_gains"]
    by_property: Any = found.groupby(["property", "unit"], sort=False)
    for (name, unit), mine in by_property:
        by_model: Any = mine.set_index("metric").groupby("model", sort=False)
        rows = [(model_label(model), *_cells(own, model, _GAINS)) for model, own in by_model]
        text = _PROSE.text("property_title", name=name, unit=unit, regions=int(mine["n"].max()))
        header = ("Model", "CCC", "RMSE", "Size of the bias", "Gain, CCC", "Gain, RMSE", "Gain, bias")
        tables.append(Table(text, header, tuple(rows), ()))
    document.section("Other properties", _PROSE.text("properties"), *tables)


def _local_section(document: Document, run: Run, looks: dict[str, style.Look]) -> None:
    """Adds what a few labels of the held-out region are worth; nothing where the run does not say."""
    if "local_labels" not in run.tables:
        return
    found = run.tables["local_labels"]
    networks = [name for name in dict.fromkeys(found["model"]) if name.endswith(FINETUNED)]
    shown = pd.DataFrame(found[found["model"].isin([*_SHOWN, *networks])])
    drawn: Any = where(shown, choice=FEW)
    few = int(drawn["draws"].max()) if len(drawn) else 0
    choices = {"random": "at random", FEW: f"at random, first {few}", "kennard_stone": "Kennard-Stone"}
    table = pivot_table(
        shown.melt(["model", "choice", "labels"], ["ccc", "rmse"], "metric"),
        {"model": "Model", "choice": "Labels chosen"},
        ("metric", "labels"),
        "value",
        title="CCC and RMSE (log10 %) by the number of local labels.",
        order={"model": [*run.models, *networks], "choice": list(choices), "metric": ("ccc", "rmse")},
        labels={"model": _local_label, "metric": {"ccc": "CCC", "rmse": "RMSE"}, "choice": choices},
        notes=_PROSE.notes("local_notes", few=few),
        left=(0, 1),
    )
    looks = looks | style.looks({name: _local_label(name) for name in networks}, order=(*_SHOWN, *networks))
    picture = document.picture(local_figure(shown, looks), "local_labels", _PROSE.text("local_caption", few=few))
    document.section("A few labels of the new region", _PROSE.text("local", few=few), picture, table)


def _local_label(name: str) -> str:
    """A model with local labels: moved by an offset, or fine-tuned."""
    base = name.removesuffix(FINETUNED)
    return model_label(base) + (", fine-tuned" if base != name else "")


@style.styled
def local_figure(found: pd.DataFrame, looks: dict[str, style.Look]) -> Figure:
    """RMSE and CCC against the number of local labels, a line for each model and way to choose."""
    figure, axes = style.grid(2, most=2, panel=2.4, extra=0.4)
    for axis, (metric, label) in zip(
        axes.ravel(),
        {"rmse": "RMSE of log10 SOC (log10 %)", "ccc": "CCC of log10 SOC (dimensionless)"}.items(),
        strict=True,
    ):
        series: Any = found.groupby(["model", "choice"], sort=False)
        for (model, choice), rows in series:
            look, fitted = looks[str(model)], str(model).endswith(FINETUNED)
            if choice == FEW and not fitted:
                continue
            line = style.DASHED if choice == "kennard_stone" else "-"
            label_of = None if choice == "kennard_stone" else look.label
            axis.plot(rows["labels"], rows[metric], color=look.color, marker=look.marker, ls=line, ms=4, label=label_of)
        axis.set_xlabel("Labels of the held-out region (number)")
        axis.set_ylabel(label)
        style.light_grid(axis)
    style.legend(figure)
    return figure


def _moisture_section(document: Document, run: Run) -> None:
    """Adds the test of moisture; nothing where the run has none."""
    if "moisture" not in run.tables:
        return
    found = run.tables["moisture"]
    table = pivot_table(
        found.melt(["model", "state"], ["rmse", "bias", "ccc"], "metric"),
        {"model": "Model"},
        ("state", "metric"),
        "value",
        title="SOC of soils known air-dry, by moisture (log10 %).",
        order={"state": tuple(_STATES), "metric": ("rmse", "bias", "ccc")},
        labels={
            "model": _label,
            "state": _STATES,
            "metric": {"ccc": "CCC", "rmse": "RMSE", "bias": "bias"},
        },
        heading=lambda state, metric: f"{metric}, {state}",
        fmt={"ccc": 2},
        notes=_PROSE.notes("moisture_notes"),
    )
    document.section("Moisture", _PROSE.text("moisture"), table)
