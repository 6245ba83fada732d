"""Reports: tables beside the published ones and figures, made from a run folder alone."""
