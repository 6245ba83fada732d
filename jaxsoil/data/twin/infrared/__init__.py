"""The infrared twin: soils, bands and optics of MIR and NIR scans."""
