"""The hybrid data set: measured values of several laboratories, and predictions where nothing was measured."""
