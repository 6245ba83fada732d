"""Training: the loss, the pure trial, the grid of trials, devices and checkpoints."""
