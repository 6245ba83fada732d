"""Evaluation: metrics, results tables, baselines and tests of significance."""
