"""jaxsoil: soil properties from spectra, in JAX."""

__version__ = "0.1.0"
