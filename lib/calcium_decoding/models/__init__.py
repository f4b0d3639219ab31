"""Every decoder behind one signature, built by name, and the loop that trains it."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submod_attrs={
    "images.cnn_rnn": ["ImageDecoder", "SequenceDecoder", "build_image"],
    "decoders": ["Estimator", "Network"],
    "heads": ["Head"],
    "names": ["IMAGE_MODELS", "MODELS", "SPEED_MODELS"],
    "online": ["Online"],
    "recurrent": ["KerasDecoder", "KerasGRU", "RecurrentDecoder"],
    "registry": ["build", "register"],
    "training": ["TrainingSettings", "fit", "predict"],
})
