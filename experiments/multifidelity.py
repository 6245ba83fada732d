"""Self-supervised multi-fidelity learning: from pre-training on MIR scans to nine properties from NIR.

python experiments/run.py --exp=multifidelity                         the twin: MIR, NIR and a second laboratory
python experiments/run.py --exp=multifidelity --data limesoda_mir     seven measured MIR fields, each held out once
python experiments/run.py --exp=multifidelity --data H.138_split      one measured field in two ranges (optimistic)
python experiments/run.py --exp=multifidelity --data woodwell604      604 measured pairs, in groups and at random
python experiments/run.py --exp=multifidelity --data kssl             public libraries: OSSL's KSSL and Neospectra
python experiments/run.py --exp=multifidelity --data mine.toml        one's own tables (docs/own_data.md)
python experiments/run.py --exp=multifidelity --paper                 the publication's size (for an accelerator)

Run time: 22 minutes on two cores beside much other work, with five seeds of the twin. Expected there, mean CCC over
nine properties on the test set and five twins: 0.70 from MIR (MIR-MLP), 0.62 from NIR (NIR-MLP), 0.63 from converted
NIR (NIRtoMIR-MLP), 0.61 from latents of NIR spectra (NIRtoMIR-SSL-MLP).
"""

from jaxsoil.experiments import Experiment
from jaxsoil.studies.multifidelity.config import PAPER_SIZE, MultifidelityConfig, smoke
from jaxsoil.sweep.points import grid

EXPERIMENT = Experiment(
    summary="MIR autoencoder, NIR to MIR conversion and nine soil properties by seven strategies",
    table="Sun et al., Appendices A and B, figures 3 to 7",
    study="jaxsoil.studies.multifidelity.run",
    report="jaxsoil.studies.multifidelity.report.page",
    config=MultifidelityConfig(),
    smoke=smoke(MultifidelityConfig()),
    paper=PAPER_SIZE,
)


def sweep_latents():
    """Latent features of the autoencoder; 32 is the paper's."""
    return grid({"pretrain.vae.latents": (8, 16, 32, 64)})


def sweep_beta():
    """Weight of the divergence in pre-training."""
    return grid({"pretrain.beta": (1e-3, 1e-2, 1e-1)})
