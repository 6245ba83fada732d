"""Structured spectral reconstruction of vis-NIR spectra (Coleman et al. 2024)."""
