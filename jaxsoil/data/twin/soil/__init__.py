"""The vis-NIR twin: soils, minerals, mixing and measurement."""
