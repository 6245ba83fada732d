"""Self-supervised multi-fidelity learning of MIR and NIR spectra: stages, strategies and their run."""
