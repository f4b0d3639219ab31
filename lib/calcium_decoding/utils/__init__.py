"""Whole files, progress bars, parallel jobs and digests of code, for the rooms above; private."""
