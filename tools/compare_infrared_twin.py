"""Prints the properties of the infrared twin at the paper's size beside Appendix A: the table of docs/data.md.

    python tools/compare_infrared_twin.py

Deterministic; no spectrum is made; under a minute.
"""

import numpy as np
from scipy import stats

from jaxsoil.data.twin.infrared.config import InfraredTwinConfig
from jaxsoil.data.twin.infrared.make import reference_values
from jaxsoil.studies.multifidelity.report.published import PROPERTIES, summary

SETS = (("labelled", "KSSL"), ("paired", "Paired"), ("test", "NAPT"))


def line(name: str) -> str:
    """Returns one property: mean, SD and skewness of the twin / of the paper, set by set."""
    cells = []
    for ours, theirs in SETS:
        values, published = VALUES[ours][name], summary(name, theirs)
        assert published is not None
        mean, sd, skewness = float(np.mean(values)), float(np.std(values, ddof=1)), float(stats.skew(values))
        cells.append(
            f"{mean:.2f} / {published.mean:.2f}, {sd:.2f} / {published.sd:.2f}, "
            f"{skewness:.1f} / {published.skewness:.1f}"
        )
    label, unit = PROPERTIES[name]
    return f"| {label} ({unit}) | {' | '.join(cells)} |"


if __name__ == "__main__":
    VALUES = reference_values(InfraredTwinConfig.paper())
    print("| property | labelled / KSSL | paired / Paired | test / NAPT |")
    print("|---|---|---|---|")
    for name in PROPERTIES:
        print(line(name))
