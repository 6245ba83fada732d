"""Libraries of spectra with properties and groups, where they come from, and how they are split."""
