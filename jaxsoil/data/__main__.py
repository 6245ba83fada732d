"""``python -m jaxsoil.data`` lists the data sets that ``--data`` takes by name."""

from __future__ import annotations

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
    main()
