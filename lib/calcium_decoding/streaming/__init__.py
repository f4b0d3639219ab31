"""A fitted decoder, frame by frame: the value of each window as soon as its last frame is there."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submod_attrs={
    "decoder": ["Decoded", "StreamDecoder"],
    "latency": ["Latency"],
    "sender": ["replay", "timetable"],
    "serve": ["Server", "quiet", "record"],
})
