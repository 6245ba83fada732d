"""A fitted model that describes itself, and predictions with it."""
