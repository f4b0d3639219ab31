"""Chapter 24: do the maps mean anything?"""
