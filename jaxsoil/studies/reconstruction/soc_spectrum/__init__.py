"""The spectrum of soil organic carbon: what the mixing decoder learns and what the data determine."""
