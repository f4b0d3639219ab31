"""Chapter 12: which areas of the cortex running shows in."""
