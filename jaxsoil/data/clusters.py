"""Groups of like spectra, for soils whose sites are not named: to hold whole groups out is harder than to draw rows."""

from __future__ import annotations

import numpy as np

from jaxsoil.data.library import Strings
from jaxsoil.runs.errors import DataError
from jaxsoil.spectra.container import Spectra
from jaxsoil.spectra.preprocess import SNV

CLUSTERS = 20
COMPONENTS = 20


def like_spectra(spectra: Spectra, clusters: int = CLUSTERS, components: int = COMPONENTS) -> Strings:
    """Returns (n,) the cluster of each spectrum, "cluster 1" to "cluster K", by hierarchical clustering.

    Ward's linkage (Ward 1963, Journal of the American Statistical Association 58, 236) of the scores of SNV absorbance
    on its leading principal components, cut where it leaves ``clusters``. No label is used.

    Args:
      spectra: n reflectance or absorbance spectra.
      clusters: number of clusters at most.
      components: principal components, at most as many as rows or bands allow.

    Raises:
      DataError: fewer than two clusters, or more than spectra.
    """
    from scipy.cluster.hierarchy import fcluster, linkage

    if not 2 <= clusters <= len(spectra):
        value, remedy = f"{clusters} clusters of {len(spectra)} spectra", "Give 2 or more, at most one a spectrum."
        raise DataError("spectra cannot be put into so many clusters", value=value, remedy=remedy)
    values = SNV()(spectra.to_absorbance()).values.astype(np.float64)
    left, singular, _ = np.linalg.svd(values - values.mean(axis=0), full_matrices=False)
    scores = left[:, :components] * singular[:components]
    return np.array([f"cluster {number}" for number in fcluster(linkage(scores, "ward"), clusters, "maxclust")])
