"""Chapters 20 and 21: decoding from movies."""
