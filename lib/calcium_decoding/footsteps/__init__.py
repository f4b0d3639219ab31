"""Footsteps of both forelimbs from one motor cortex, after Mirzaee, Chang, Latifi 2025 (arXiv 2504.16917)."""
