"""A decoder that frames are sent to, over ZeroMQ: it decodes the newest, publishes values, and times itself."""

import contextlib
import csv
import gc
import json
import time
from urllib.parse import urlsplit

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.streaming import wire
from calcium_decoding.streaming.latency import Latency
from calcium_decoding.utils.files import whole_file

LOOPBACK = "127.0.0.1", "localhost", "[::1]"


@contextlib.contextmanager
def quiet(threads=1):
    """So many threads, and a garbage collector that has nothing old to look through."""
    before = torch.get_num_threads()
    gc.collect()
    gc.freeze()
    torch.set_num_threads(threads)
    try:
        with threadpool_limits(threads, user_api="blas"):
            yield
    finally:
        torch.set_num_threads(before)
        gc.unfreeze()


class Server:
    """Decode what is sent to an address until :meth:`run` is stopped.

    Of frames that wait, all go into baseline and window, and only the newest is decoded. ``counts``: frames
    ``superseded`` by it; messages ``refused`` because they are malformed or too large; ``senders_lost`` without a word,
    ``senders_ended``; ``silences``, in which a sender has sent nothing for ``silence_s``.

    ``bind``, ``publish``: addresses such as ``tcp://127.0.0.1:5555``, port ``*`` any that is free (:attr:`address`),
    for frames and for what is decoded, JSON, a message a frame, if at all. ``open``: allow addresses that other
    machines can reach. ``sinks``: called with each Decoded. ``say``: called with a line when a sender is lost or
    silent. ParameterError: an address that others reach, or that is taken.
    """

    def __init__(self, stream, bind, publish=None, open=False, sinks=(), silence_s=1.0, threads=1, say=print):
        for address in filter(None, (bind, publish)):
            if not open and urlsplit(address).netloc.rpartition(":")[0] not in LOOPBACK:
                raise ParameterError("address", f"{address}, which other machines can reach",
                                     "one of this machine, such as tcp://127.0.0.1:5555", "add --open if that is meant")
        self.stream, self.sinks, self.silence_s, self.threads, self.say = stream, list(sinks), silence_s, threads, say
        self.counts = dict.fromkeys(("refused", "superseded", "senders_lost", "senders_ended", "silences"), 0)
        self.latency, self._session, self._heard, fitted = Latency(), None, None, stream.fitted
        self._layout = None if fitted.image_shape else wire.layout_of(fitted.roi_names, fitted.signal_unit)
        self._zmq = zmq = wire.package("zmq", "pyzmq")
        self._context = zmq.Context()
        self._in, self._out = self._context.socket(zmq.PULL), self._context.socket(zmq.PUB)
        # What is larger still is not even read: its sender is cut off.
        self._in.set(zmq.MAXMSGSIZE, 4 * max(wire.HEADER_BYTES, 8 * int(np.prod(stream.frame_shape))))
        self._in.set(zmq.RCVHWM, 100)
        self._monitor = self._in.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        try:
            self._in.bind(bind)
            if publish:
                self._out.bind(publish)
        except zmq.ZMQError as error:
            self.close()
            raise ParameterError("address", f"{bind}, {publish}: {error}", "addresses that are free",
                                 "choose other ports") from error
        self.address = self._in.get(zmq.LAST_ENDPOINT).decode()

    def close(self):
        """Give the addresses back."""
        self._context.destroy(linger=500)

    def run(self, stop=lambda: False):
        """Serve until ``stop()`` is true, asked ten times a second, or Ctrl-C."""
        poller = self._zmq.Poller()
        poller.register(self._in, self._zmq.POLLIN)
        poller.register(self._monitor, self._zmq.POLLIN)
        with quiet(self.threads):
            while not stop():
                ready = dict(poller.poll(100))
                if self._in in ready:
                    self._take(list(self._waiting()), time.monotonic())
                elif self._monitor in ready:  # after all that it sent: it may have said that it ends
                    self._monitor.recv_multipart()
                    if self._session is not None:
                        self._lost("senders_lost", "the sender is gone, without a word")
                if self._heard is not None and time.monotonic() - self._heard > self.silence_s:
                    self._heard = None
                    self.counts["silences"] += 1
                    self.say(f"no frame for {self.silence_s:g} s")

    def _waiting(self):
        with contextlib.suppress(self._zmq.Again):
            while True:
                parts = self._in.recv_multipart(self._zmq.NOBLOCK)
                try:
                    yield wire.unpack(parts, self.stream.frame_shape, self._layout)
                except DataError:
                    self.counts["refused"] += 1

    def _take(self, messages, taken):
        newest = max((i for i, (_, frame) in enumerate(messages) if frame is not None), default=-1)
        for i, (header, frame) in enumerate(messages):
            if frame is None:
                if header["session"] == self._session:
                    self._lost("senders_ended", "the sender has ended")
                continue
            self._heard = taken
            if header["session"] != self._session:
                self._session = header["session"]
                if self.stream.counts["received"]:
                    self.stream.reset()
            self.counts["superseded"] += i != newest
            decoded = self.stream.push(frame, header["number"], header.get("time_s"), decode=i == newest)
            if decoded is not None:
                begun = time.monotonic()
                self._out.send(json.dumps(decoded._asdict()).encode())
                for sink in self.sinks:
                    sink(decoded)
                known = header.get("clock") == wire.CLOCK and header.get("sent_s") is not None
                self.latency.add(taken - header["sent_s"] if known else None, *self.stream.took_s,
                                 time.monotonic() - begun)

    def _lost(self, kind, said):
        self._session, self._heard = None, None
        self.counts[kind] += 1
        self.say(said)

    def card(self):
        """The latency card so far; see :meth:`Latency.card`."""
        return self.latency.card(self.stream, self.counts, self.threads)


def record(address, path, stop=lambda: False):
    """Write what a server publishes to a CSV file, a row a frame, until ``stop()`` is true or Ctrl-C: whole or not at
    all, also when stopped. The number of rows; without any, no file."""
    zmq, n = wire.package("zmq", "pyzmq"), 0
    with contextlib.suppress(FileNotFoundError), whole_file(path) as temporary, zmq.Context() as context, \
            context.socket(zmq.SUB) as socket, contextlib.ExitStack() as stack:
        socket.set(zmq.LINGER, 0)
        socket.subscribe(b"")
        socket.connect(address)
        with contextlib.suppress(KeyboardInterrupt):
            while not stop():
                if socket.poll(100):
                    row = json.loads(socket.recv())
                    row |= row.pop("outputs")
                    if not n:
                        writer = csv.DictWriter(stack.enter_context(open(temporary, "w", newline="")), list(row))
                        writer.writeheader()
                    writer.writerow(row)
                    n += 1
    return n
