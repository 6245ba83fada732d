"""A study of one's own in one file: is a model of a soil's nearest neighbours better than one model of all soils?

    python experiments/run.py --exp examples/own_study.py --k 40

Memory-based learning in its simplest form (Ramirez-Lopez et al. 2013, Geoderma 195-196, 268-279): a PLSR for each new
soil, fitted to the k training soils whose spectra are nearest. docs/own_study.md goes through this file.
"""

import dataclasses

import numpy as np
from scipy.spatial.distance import cdist

import jaxsoil
from jaxsoil.data.twin.soil.config import TwinConfig
from jaxsoil.data.twin.soil.make import make_twin
from jaxsoil.evaluation.results import as_frame, metric_rows, over_regions, write_results
from jaxsoil.experiments import Experiment
from jaxsoil.models import plsr
from jaxsoil.report import figures
from jaxsoil.report.document import Document
from jaxsoil.report.run_files import RunFiles, where
from jaxsoil.report.style import looks
from jaxsoil.report.tables import Table, plus_minus
from jaxsoil.spectra.preprocess import SNV


@dataclasses.dataclass(frozen=True)
class Config:
    """What can be set; every field is an option of the command line, such as --k 40."""

    data: str = "twin"
    """'twin', a data set by name, or a manifest (.toml)."""
    k: int = 60
    """Neighbours that a soil's own model is fitted to."""
    components: int = 8
    """Latent variables of all models."""
    twin: TwinConfig = dataclasses.field(default_factory=lambda: TwinConfig(n_samples=850))
    """The synthetic library, used with --data twin."""


def prepare(config: Config) -> jaxsoil.Library:
    """Reads and checks the data; what is wrong is raised here, before anything is written."""
    if config.k <= config.components:
        raise jaxsoil.UsageError(f"--k {config.k}: give more neighbours than --components ({config.components}).")
    library = make_twin(config.twin) if config.data == "twin" else jaxsoil.load(config.data)
    library = library.select(library.property("soc").values > 0)
    jaxsoil.region_out(library)  # refuses data without regions
    return library


def plan(config: Config, library: jaxsoil.Library) -> str:
    """Says what --plan prints."""
    return f"{library!r}\n{len(jaxsoil.region_out(library))} regions, each held out once; {len(library)} local models"


def run(config: Config, folder, library: jaxsoil.Library) -> None:
    """Fits, predicts the held-out regions and writes results.csv; every number of the report stands in it."""
    x, soc = SNV()(library.spectra.to_absorbance()).values, library.property("soc").values
    rows = []
    for split in jaxsoil.region_out(library):
        train, test = np.flatnonzero(split.train), np.flatnonzero(split.test)
        y = np.log10(soc[train])
        found = {"global": plsr.fit(x[train], y, config.components).predict(x[test]), "local": np.empty(test.size)}
        for place, near in enumerate(np.argsort(cdist(x[test], x[train]), axis=1)[:, : config.k]):
            own = plsr.fit(x[train[near]], y[near], config.components)
            found["local"][place] = own.predict(x[test[[place]]])[0]
        for model, predicted in found.items():
            keys = {"study": folder.experiment, "data": library.name, "model": model, "region": split.held_out}
            rows += metric_rows(soc[test], 10.0**predicted, **keys, seed=0, split="test")
    folder.write_json("data.json", {"name": library.name, "spectra": len(library), "licence": library.licence})
    write_results(folder.path / "results.csv", as_frame(rows))


def write_report(folder):
    """Draws from the run folder alone."""
    found = RunFiles(optional=("timing",)).read(folder)
    scores = where(found.results, scale="log10", metric="ccc")
    styles = looks({"global": "One PLSR of all soils", "local": "A PLSR of each soil's neighbours"})
    means = where(over_regions(scores), seed="all").set_index("model")
    rows = tuple((look.label, plus_minus(*means.loc[name, ["mean", "se"]], 2)) for name, look in styles.items())
    document = Document("Neighbours or all soils?", folder)
    document.add(f"{found.data['name']}: {found.data['spectra']} soils, one region held out at a time.")
    document.add(Table("CCC of log10 SOC, mean over held-out regions ± standard error.", ("Model", "CCC"), rows))
    dots = [figures.Dot(row["model"], row["region"], (row["value"],)) for row in scores.to_dict("records")]
    figure = figures.metric_by_region(dots, styles, label="CCC of log10 SOC in the held-out region (dimensionless)")
    document.draw(figure, "ccc_by_region", "CCC of each held-out region, and their mean at the bottom.")
    return document.write()


EXPERIMENT = Experiment(
    summary="One PLSR of all soils against one of each soil's nearest neighbours",
    table="Ramirez-Lopez et al. 2013, the idea",
    config=Config(),
    smoke=dataclasses.replace(Config(), k=30, twin=TwinConfig(n_samples=240, n_regions=4, n_outlying=1, n_bands=40)),
    study=__name__,
    report=__name__,
)
