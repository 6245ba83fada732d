"""Readers of tables, manifests and TOML files, and of measured sets with a layout of their own."""
