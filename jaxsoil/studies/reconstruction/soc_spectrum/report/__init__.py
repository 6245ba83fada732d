"""Report on the spectrum of soil organic carbon."""
