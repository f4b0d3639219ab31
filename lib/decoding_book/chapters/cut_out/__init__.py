"""Chapter 22: which places in the image a decoder needs."""
