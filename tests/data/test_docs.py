"""docs/data.md: its example loads as printed, and its table is that of the manifests."""

import re
from importlib import resources
from pathlib import Path

import numpy as np
import pandas as pd

from jaxsoil.data import registry
from jaxsoil.data.readers.schema import Manifest, read_manifest

DOCS = (Path(__file__).resolve().parents[2] / "docs" / "data.md").read_text(encoding="utf-8")


def packaged_rows():
    """The rows of the table: name, what it is, file and axis, labels, groups, licence."""
    rows = []
    for name, title in registry.describe():
        if name == "twin":
            continue
        manifest = read_manifest(Path(str(resources.files("jaxsoil.data") / "manifests" / f"{name}.toml")))
        if isinstance(manifest, Manifest):
            labels = ", ".join(f"{key} ({label.unit})" for key, label in manifest.labels.items())
            kind = f"{manifest.values.quantity}, {manifest.axis.unit}"
            rows.append(
                f"| `{name}` | {title} | {kind} | {labels} | {', '.join(manifest.groups)} | {manifest.licence} |"
            )
        else:
            members = ", ".join(manifest.members)
            kind = f"reflectance, {manifest.grid.unit}"
            rows.append(f"| `{name}` | {title} | {kind} | of {members} | region = member | of its members |")
    return rows


def test_the_table_is_that_of_the_manifests():
    assert [line for line in DOCS.splitlines() if line.startswith("| `") and line.count("|") == 7] == packaged_rows()


def test_the_example_loads_as_printed(tmp_path):
    text = re.findall(r"```toml\n(.*?)```", DOCS, flags=re.DOTALL)[0]
    axis = np.arange(400, 2401, 10)
    shape = (1 - 0.8 * np.exp(-(axis - 350) / 300)) * (1 - 0.2 * np.exp(-0.5 * ((axis - 1930) / 30) ** 2))
    table = pd.DataFrame(100 * np.linspace(0.2, 0.5, 20)[:, None] * shape, columns=[f"X{band}" for band in axis])
    table = table.assign(lab_no=range(20), plot=["N01", "S01"] * 10, SOM=3.448)
    table.to_csv(tmp_path / "mine.csv", index=False)
    (tmp_path / "mine.toml").write_text(text)
    made = registry.load(tmp_path / "mine.toml")
    assert len(made) == 18 and set(made.group("region")) == {"N", "S"}
    np.testing.assert_allclose(made.property("soc").values, 2.0)
