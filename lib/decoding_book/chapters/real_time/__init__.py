"""Chapter 52."""
