"""Spectra as checked objects, and the preprocessing steps that turn one into another."""

from jaxsoil.spectra.container import QUANTITIES, UNITS, Spectra

__all__ = ["QUANTITIES", "UNITS", "Spectra"]
