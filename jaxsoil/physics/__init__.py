"""Physics as plain functions: mixing, unit cells, fitted mineral spectra."""
