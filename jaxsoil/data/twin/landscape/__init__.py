"""The twin of a landscape with depth layers."""
