"""The twin of several laboratories."""
