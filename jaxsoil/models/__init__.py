"""Models: the mixing physics as plain functions, and the networks around it."""
