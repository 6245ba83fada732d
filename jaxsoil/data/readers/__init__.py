"""Readers of tables and manifests."""
