"""``python -m jaxsoil`` is the command ``jaxsoil``."""

import sys

from jaxsoil.cli import console

if __name__ == "__main__":
    sys.exit(console())
