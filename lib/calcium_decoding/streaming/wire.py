"""Messages between a camera's program and a decoder: a JSON header, raw bytes, and a checksum of both; no pickle.

Three parts of a ZeroMQ message: the header, UTF-8 JSON with ``number``, ``time_s``, ``shape``, ``dtype``, ``session``
(of the sender, another one each time it starts) and, if known, ``sent_s`` with its ``clock`` and ``layout``; the pixels
or values in C order; and their CRC-32, 8 hexadecimal digits. A sender that ends says so: a header with ``end``.
"""

import importlib
import json
import math
import socket
import zlib

import numpy as np

from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.utils.files import hash_content

DTYPES = "|u1", "<u2", "<i2", "<u4", "<i4", "<f4", "<f8"
HEADER_BYTES = 2048
CLOCK = socket.gethostname()  # whose monotonic clock it is: times of two machines are not compared


def package(module, name):
    """A module of an optional package; ParameterError says how to install it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError:
        raise ParameterError("stream", f"no package {name}", f"{name}, which this way of sending needs",
                             "pip install 'calcium-decoding[stream]'") from None


def layout_of(roi_names, signal_unit):
    """Hash of names, order and unit of ROIs: frames of others are refused."""
    return hash_content([list(roi_names), signal_unit])


def pack(header, data=b""):
    """Parts of a message of a header, a dict, and bytes."""
    head = json.dumps(header, allow_nan=False).encode()
    return [head, data, b"%08x" % zlib.crc32(data, zlib.crc32(head))]


def packed(number, time_s, frame, session, **more):
    """Parts of the message of a frame, an ndarray of one of :data:`DTYPES`."""
    return pack({"number": number, "time_s": time_s, "shape": frame.shape, "dtype": frame.dtype.str, "session": session,
                 **more}, frame.tobytes())


def unpack(parts, shape, layout=None):
    """Header and frame, an ndarray of this shape (None at a sender's end), of the parts of a message; DataError of
    anything else than :func:`pack` makes."""
    def require(holds, found, expected):
        if not holds:
            raise DataError("message", found, expected, "send it as calcium_decoding.streaming.wire packs it")

    require(len(parts) == 3, f"{len(parts)} parts", "header, data and checksum")
    head, data, checksum = parts
    require(len(head) <= HEADER_BYTES, f"{len(head)} bytes", f"a header of at most {HEADER_BYTES}")
    require(checksum == b"%08x" % zlib.crc32(data, zlib.crc32(head)), "another checksum", "that of header and data")
    try:
        header = json.loads(head)
    except (ValueError, RecursionError) as error:
        require(False, f"{type(error).__name__}: {error}", "a JSON header")
    require(isinstance(header, dict) and isinstance(header.get("session"), str), "another header", "a session's")
    if header.get("end") is True:
        return header, None
    number, dtype = header.get("number"), header.get("dtype")
    require(type(number) is int and 0 <= number < 2**53, f"number {number!r:.40}", "a whole number from 0")
    for value in (header.get("time_s"), header.get("sent_s")):
        require(value is None or (type(value) in (int, float) and math.isfinite(value)), f"{value!r:.40}", "seconds")
    require(header.get("shape") == list(shape) and dtype in DTYPES, f"{dtype!r:.40}, {header.get('shape')!r:.40}",
            f"shape {list(shape)}, of {', '.join(DTYPES)}")
    require(layout is None or header.get("layout") in (None, layout), "other ROIs, or another order or unit of them",
            "those of the training")
    require(len(data) == math.prod(shape) * np.dtype(dtype).itemsize, f"{len(data)} bytes", f"a frame of {dtype}")
    frame = np.frombuffer(data, dtype).reshape(shape)
    require(np.isfinite(frame).all(), "NaN or infinite values", "finite numbers")
    return header, frame
