"""A page for spectra: a local web server around a bundle (``jaxsoil serve``)."""
