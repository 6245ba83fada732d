"""Reports of the reconstruction study."""
