"""Cells of one motor cortex during steps of both forelimbs, with known tuning."""
