"""Reports of the multi-fidelity study and its ablations."""
