"""Public spectral libraries by name: fetched, checked, and prepared as memory maps that training reads."""
