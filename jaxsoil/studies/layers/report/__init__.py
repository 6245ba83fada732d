"""Report on layer transfer."""
