"""``python -m jaxsoil.data`` lists the data sets that ``--data`` takes by name."""

from __future__ import annotations

from jaxsoil.data.registry import TWIN, describe
from jaxsoil.data.root import DATA_VARIABLE


def main() -> None:
    """Prints the name and one line of each data set; no data are needed."""
    described = describe()
    width = max(len(name) for name, _ in described)
    for name, line in described:
        print(f"{name:{width}}  {line}")
    print(f"\nAll but '{TWIN}' are measured: {DATA_VARIABLE} names the folder that holds them.")


if __name__ == "__main__":
    main()
