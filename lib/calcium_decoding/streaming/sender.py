"""Replay a recording on a timetable: frame k is due at t0 + k / rate, whatever happened before."""

import time
import uuid

import numpy as np

from calcium_decoding.errors import ParameterError
from calcium_decoding.streaming import wire


def timetable(n_frames, rate_hz, jitter_s=0.0, drop=0.0, double=0.0, seed=0):
    """Numbers of the frames to send, and when each is due, s from the start: two ndarrays.

    ``jitter_s``: SD of the delay of each, which is never negative. ``drop``, ``double``: shares of frames that are left
    out, and sent twice. ParameterError: a value out of range.
    """
    if not (rate_hz > 0 and jitter_s >= 0 and 0 <= drop < 1 and 0 <= double <= 1):
        raise ParameterError("timetable", f"rate {rate_hz}, jitter {jitter_s}, drop {drop}, double {double}",
                             "a rate above 0, a jitter from 0, shares from 0 to 1", "change these")
    rng = np.random.default_rng(seed)
    numbers = np.arange(n_frames)[rng.random(n_frames) >= drop]
    numbers = np.repeat(numbers, 1 + (rng.random(len(numbers)) < double))
    due = numbers / rate_hz + np.abs(rng.normal(0, jitter_s, len(numbers)))
    order = np.argsort(due, kind="stable")
    return numbers[order], due[order]


def on_time(numbers, due):
    """Each number when it is due, with by how much it is late, s. A consumer of this that is slow gets the next one at
    once, and late: no frame waits for the one before it."""
    start = time.monotonic()
    for number, at in zip(numbers.tolist(), due.tolist(), strict=True):
        wait = start + at - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        yield number, time.monotonic() - start - at


def replay(recording, address, columns=None, movie=False, loops=1, **how):
    """Send a recording's frames to a server, and say what became of them: a dict of ``sent``, ``not_taken`` (nobody
    was there, or too many waited) and ``latest_s``, how late the latest was sent.

    ``columns``: of the signal, in the order of the decoder. ``movie``: its images in place of its traces. ``loops``:
    so many times over, numbers going on. ``how``: of :func:`timetable`.
    """
    zmq, session, n = wire.package("zmq", "pyzmq"), uuid.uuid4().hex[:8], recording.n_frames
    columns = list(range(recording.n_roi)) if columns is None else columns
    more = {"clock": wire.CLOCK} | ({} if movie else {
        "layout": wire.layout_of([recording.roi_names[i] for i in columns], recording.signal_unit)})
    times = np.arange(n) / recording.rate_hz if recording.times_s is None else recording.times_s
    said = {"sent": 0, "not_taken": 0, "latest_s": 0.0}
    with zmq.Context() as context, context.socket(zmq.PUSH) as socket:
        for option, value in ((zmq.IMMEDIATE, 1), (zmq.SNDHWM, 100), (zmq.LINGER, 1000)):
            socket.set(option, value)  # nothing is kept for a server that is not there
        socket.connect(address)
        socket.poll(5000, zmq.POLLOUT)
        try:
            for number, late in on_time(*timetable(n * loops, recording.rate_hz, **how)):
                k, said["latest_s"] = number % n, max(said["latest_s"], late)
                frame = recording.movie[k:k + 1][0] if movie else recording.signal[k, columns]
                parts = wire.packed(number, float(times[k] + (number // n) * n / recording.rate_hz), frame, session,
                                    sent_s=time.monotonic(), **more)
                try:
                    socket.send_multipart(parts, zmq.NOBLOCK)
                    said["sent"] += 1
                except zmq.Again:
                    said["not_taken"] += 1
        finally:
            if socket.poll(1000, zmq.POLLOUT):
                socket.send_multipart(wire.pack({"session": session, "end": True}), zmq.NOBLOCK)
    return said
