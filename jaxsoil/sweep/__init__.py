"""Sweeps: one study at many points of its configuration, each an ordinary run folder, and one table of all results."""
