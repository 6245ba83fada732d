"""Twins: synthetic data whose truth is known."""
