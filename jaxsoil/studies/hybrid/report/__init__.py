"""Report and data card of the hybrid data set."""
