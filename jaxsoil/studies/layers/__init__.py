"""Layer transfer: maps of a soil property in depth layers, by networks that learn from all layers."""
