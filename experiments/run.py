"""Runs a study: ``python experiments/run.py --exp=region_out``; ``--list`` shows all, ``--help`` every option."""

import sys
from pathlib import Path

from jaxsoil.cli import main

if __name__ == "__main__":
    sys.exit(main(Path(__file__).parent))
