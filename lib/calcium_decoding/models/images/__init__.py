"""Decoders of movie frames: a convolutional network, recurrent ones on its features, and their training."""
