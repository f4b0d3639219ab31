"""Chapter 30: speed as what is decoded."""
