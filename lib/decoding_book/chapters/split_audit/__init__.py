"""Chapter 41: how much of a footstep score the split made."""
