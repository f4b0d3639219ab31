"""Recordings with known truth: a running mouse under a widefield camera, and footsteps of one motor cortex."""
