"""``python -m jaxsoil.data`` lists the data sets that ``--data`` takes by name; with words it is ``jaxsoil data``."""

from __future__ import annotations

import importlib
import sys

from jaxsoil.data.registry import TWIN, describe
from jaxsoil.data.root import DATA_VARIABLE
from jaxsoil.data.sources.catalogue import sources
from jaxsoil.data.sources.places import CACHE_VARIABLE


def main() -> None:
    """Prints the name and one line of each data set; no data are needed."""
    described = describe()
    width = max(len(name) for name, _ in described)
    for name, line in described:
        print(f"{name:{width}}  {line}")
    print(f"\nPublic libraries, fetched into the folder {CACHE_VARIABLE} (jaxsoil data prepare NAME):")
    for name, source in sources().items():
        print(f"{name:{width}}  {source.title} [{source.licence}]")
    print(f"\nAll but '{TWIN}' are measured: {DATA_VARIABLE} names the folder that holds them.")


if __name__ == "__main__":
    # The command line stands above the data: it is reached by its name, as it reaches the studies.
    sys.exit(importlib.import_module("jaxsoil.cli").console(["data", *sys.argv[1:]]))
