"""The section on measured pairs: parts held out by groups of like spectra and at random, beside PLSR of all rows."""

from __future__ import annotations

import pandas as pd

from jaxsoil.report.document import Document
from jaxsoil.report.tables import pivot_table
from jaxsoil.studies.multifidelity.config import STRATEGY
from jaxsoil.studies.multifidelity.report import published
from jaxsoil.studies.multifidelity.report import score_figures as figures
from jaxsoil.studies.multifidelity.report.files import PROSE, MultifidelityRun
from jaxsoil.studies.multifidelity.tables import NO_TASK

NAMES = {"ccc": "CCC", "ccc_log": "CCC of log(1 + y)", "rmse": "RMSE", "r2": "R2"}
REFERENCE = {"mir": "10-fold PLSR, MIR", "nir": "10-fold PLSR, NIR"}


def parts_section(document: Document, run: MultifidelityRun) -> None:
    """Both ways of holding out; nothing for data whose test set is fixed."""
    if "held_out_parts" not in run.tables:
        return
    table = run.tables["held_out_parts"]
    table = pd.DataFrame(table[table["task"].isin((run.task, NO_TASK))])
    splits = list(dict.fromkeys(table["split"]))
    table = table.sort_values(
        ["property", "strategy"], key=lambda names: names.map([*published.PROPERTIES, *STRATEGY].index), kind="stable"
    )
    reference = run.tables.get("reference", pd.DataFrame(columns=pd.Index(["split", "range", "property", "ccc"])))
    document.section("Measured pairs: parts held out in groups and at random", PROSE.text("parts_lead", splits=splits))
    document.draw(figures.held_out_parts(table, reference), "held_out_parts", PROSE.text("parts_caption"))
    rows = pd.concat([table, reference.assign(strategy=reference["range"].map(REFERENCE.get))])
    long = rows.melt(["property", "strategy", "split"], list(NAMES), "metric", "value")
    long = pd.DataFrame(long[long["value"].notna()])
    columns = [f"{NAMES[metric]}, {split}" for metric in NAMES for split in splits]
    document.table(
        pivot_table(
            long.assign(column=long["metric"].map(NAMES.get) + ", " + long["split"]),
            ("property", "strategy"),
            "column",
            "value",
            title=PROSE.text("parts_title"),
            fmt=2,
            order={"property": published.PROPERTIES, "strategy": [*STRATEGY, *REFERENCE.values()], "column": columns},
            labels={"property": run.titles},
            notes=PROSE.notes("parts_notes"),
        )
    )
