"""Rasters, sites on them, and the windows that networks see."""
