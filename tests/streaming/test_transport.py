"""Frames over ZeroMQ: a timetable that waits for nobody, messages that are refused, senders and servers killed."""

import itertools
import json
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import zlib

import numpy as np
import pandas as pd
import pytest

from calcium_decoding import cli
from calcium_decoding.data import readers
from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.streaming import Server, StreamDecoder, record, replay, timetable, wire
from calcium_decoding.streaming.sender import on_time
from tests.conftest import started_alone
from tests.streaming.conftest import recording

zmq = pytest.importorskip("zmq")
NEW = recording("new", 9)
FAST = recording("new", 9, n=100)


def test_a_timetable_drops_doubles_and_delays_to_order():
    numbers, due = timetable(4000, 50.0)
    assert np.array_equal(numbers, np.arange(4000)) and np.allclose(due, np.arange(4000) / 50)
    numbers, due = timetable(4000, 50.0, jitter_s=0.004, drop=0.1, double=0.2, seed=1)
    once, times = np.unique(numbers, return_counts=True)
    assert 0.08 < 1 - len(once) / 4000 < 0.12 and 0.17 < (times == 2).mean() < 0.23 and times.max() == 2
    late = due - numbers / 50
    assert (late >= 0).all() and (np.diff(due) >= 0).all()
    assert late.std() == pytest.approx(0.004 * (1 - 2 / np.pi) ** 0.5, rel=0.1)  # of half a normal distribution
    with pytest.raises(ParameterError, match="drop 1"):
        timetable(10, 50.0, drop=1)


def test_a_late_consumer_is_seen_and_the_timetable_does_not_wait_for_it():
    start, late = time.monotonic(), []
    for number, by in on_time(*timetable(40, 100.0)):
        late.append(by)
        if number == 10:
            time.sleep(0.15)  # a consumer that holds everything up once
    assert time.monotonic() - start < 0.55  # 40 frames at 100 Hz, not 0.4 + 0.15 s
    assert max(late[:11]) < 0.05 < 0.1 < late[11] < 0.3 and late[-1] < 0.05 and min(late) >= 0


@pytest.fixture
def served(fitted):
    """Starts a server in a thread: the server, and what it decoded."""
    started = []

    def start(one=None, **how):
        found = []
        server = Server(StreamDecoder(one or fitted()), "tcp://127.0.0.1:*", sinks=[found.append],
                        say=lambda line: None, **how)
        stop = threading.Event()
        thread = threading.Thread(target=server.run, args=[stop.is_set])
        thread.start()
        started.append((server, stop, thread))
        return server, found

    yield start
    for server, stop, thread in started:
        stop.set()
        thread.join()
        server.close()


def until(holds, seconds=10):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_what_is_sent_is_decoded_as_offline(fitted, served):
    server, found = served()
    said = replay(NEW, server.address)
    until(lambda: server.counts["senders_ended"])
    assert said["sent"] == 240 and said["not_taken"] == 0
    taken = server.stream.counts
    assert taken["received"] == 240 and taken["missing"] == 0
    assert taken["decoded"] + server.counts["superseded"] >= 236
    expected = fitted().predict(NEW).set_index("frame")["probability"]
    assert max(abs(one.value - expected[one.frame]) for one in found) < 1e-6
    card = json.loads(json.dumps(server.card(), allow_nan=False))
    rows = {row["part"]: row for row in card["latency"]}
    assert list(rows) == ["waiting", "preprocessing", "inference", "sending", "total"]
    columns = ("p50_ms", "p95_ms", "p99_ms", "p99_9_ms", "max_ms")
    assert all(0 <= row[a] <= row[b] for row in rows.values() for a, b in itertools.pairwise(columns))
    assert card["look_ahead_ms"] == 0 and card["simulated"] and card["machine"]["threads"] == 1
    frames = card["frames"]
    assert frames["missed"] == frames["missing"] + frames["superseded"] + frames["overdue"]


def mutated(parts, rng):
    """A message with something wrong."""
    head, data, checksum = parts
    how = rng.randrange(11)
    if how in (0, 1):  # any byte
        part, parts = rng.randrange(3), [bytearray(each) for each in parts]
        parts[part][rng.randrange(len(parts[part]))] ^= 1 << rng.randrange(8)
        return [bytes(each) for each in parts]
    if how == 2:
        return parts[:rng.randrange(3)] or [b""]
    if how == 3:
        return [*parts, *parts[:rng.randrange(1, 4)]]
    if how == 4:
        return [head, data[:rng.randrange(len(data))], checksum]
    # from here on the checksum is right, and the sender is wrong
    about = json.loads(head)
    if how == 5:
        about["number"] = rng.choice([-1, 2**70, 1.5, "3", None, True, [1], float(10**9)])
    elif how == 6:
        about["shape"] = rng.choice([[6, 1], [5], [10**9], [], None, "6", [6.5], [-6]])
    elif how == 7:
        about["dtype"] = rng.choice(["O", "<U4", "|V8", "<f2", "complex", None, 8, "<f8", "object"])
    elif how == 8:
        data = rng.choice([data + b"\0" * 4, data[:-4], b"", b"x" * 5000, np.full(6, np.nan, "<f4").tobytes(),
                           np.full(6, np.inf, "<f4").tobytes()])
    elif how == 9:
        about["time_s"] = rng.choice(["now", [], True, {}])
        about = about if rng.random() < 0.5 else {"session": 3, "number": 4}
    else:
        text = rng.choice([b"[" * 2000, b"{", b"\xff\xfe", b"null", b"[]", b'"a"', b"NaN", b"1" * 1500, b"{" * 5000])
        return [text, data, b"%08x" % zlib.crc32(data, zlib.crc32(text))]
    return wire.pack(about, data)


def test_of_300_mutated_messages_none_is_decoded_and_none_is_fatal(served):
    server, found = served()
    rng = random.Random(5)
    with zmq.Context() as context, context.socket(zmq.PUSH) as socket:
        socket.connect(server.address)
        for i in range(300):
            good = wire.packed(1000 + i, float(i), NEW.signal[i % 240], "bad", sent_s=0.0, clock=wire.CLOCK)
            socket.send_multipart(mutated(good, rng))
        until(lambda: server.counts["refused"] == 300)
        assert not found and server.stream.counts["received"] == 0
        for i in range(5):
            socket.send_multipart(wire.packed(i, None, NEW.signal[i], "good"))
        until(lambda: len(found) == 1)
        socket.send_multipart([b"x" * 2**20, b"x", b"x"])  # so large that its sender is cut off, and comes back
        until(lambda: server.counts["senders_lost"])
    replay(FAST, server.address)
    until(lambda: server.counts["senders_ended"] and server.stream.counts["received"] == 105)
    assert server.counts["refused"] == 300


def test_other_rois_and_addresses_that_others_reach_are_refused(fitted, served):
    server, found = served()
    replay(FAST, server.address, columns=[1, 0, 2, 3, 4, 5])
    until(lambda: server.counts["refused"] == 100)
    assert not found
    for address in ("tcp://0.0.0.0:5999", "tcp://*:5999"):
        with pytest.raises(ParameterError, match=r"other machines can reach.*--open"):
            Server(StreamDecoder(fitted()), address)
    Server(StreamDecoder(fitted()), "tcp://0.0.0.0:*", open=True).close()
    with pytest.raises(ParameterError, match="Address already in use"):
        Server(StreamDecoder(fitted()), server.address)
    with pytest.raises(DataError, match="3 bytes"):
        wire.unpack(wire.pack({"number": 1, "session": "a", "shape": [6], "dtype": "<f4"}, b"abc"), (6,))


def test_of_frames_that_wait_the_newest_is_decoded_and_all_are_in_its_window(fitted, served):
    server, found = served()
    slow = threading.Event()
    server.sinks.append(lambda decoded: slow.wait(0.5))
    replay(FAST, server.address)
    until(lambda: server.counts["senders_ended"])
    expected = fitted().predict(FAST).set_index("frame")["probability"]
    assert server.counts["superseded"] > 50 and server.stream.counts["missing"] == 0
    assert all(abs(one.value - expected[one.frame]) < 1e-6 for one in found) and found[-1].frame > 60
    assert server.card()["frames"]["missed"] >= server.counts["superseded"]


@pytest.fixture
def started():
    """Starts a command; what still runs at the end is killed."""
    running = []

    def start(*words):
        command = [sys.executable, "-m", "calcium_decoding.cli", "stream", *map(str, words)]
        running.append(started_alone(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT))
        return running[-1]

    yield start
    for process in running:
        process.kill()
        process.wait()
        process.stdout.close()


def free_address():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return f"tcp://127.0.0.1:{taken.getsockname()[1]}"


@pytest.fixture
def files(fitted, tmp_path):
    fitted().save(tmp_path / "decoder.safetensors")
    readers.write_npz(recording("new", 9, n=1200), tmp_path / "new.npz")
    return tmp_path


def test_commands_a_killed_sender_a_killed_server_and_ctrl_c(fitted, files, started):
    """Twenty seconds of it; ten minutes at 30 Hz are run by hand with the same commands."""
    frames, out = free_address(), free_address()
    serve = ("serve", files / "decoder.safetensors", "--bind", frames, "--publish", out, "--card", files / "card.json")
    replayed = ("replay", files / "new.npz", "--to", frames, "--for", files / "decoder.safetensors")
    with zmq.Context() as context, context.socket(zmq.SUB) as seen:
        seen.subscribe(b"")
        seen.connect(out)

        def decoded(n):
            for _ in range(n):
                assert seen.poll(30_000)
                last = json.loads(seen.recv())
            return last["frame"]

        recorded, server = started("record", "--from", out, "--out", files / "decoded.csv"), started(*serve)
        assert "0 ms of look-ahead" in server.stdout.readline()
        sender = started(*replayed)
        assert decoded(80) >= 83
        sender.kill()
        assert "without a word" in server.stdout.readline()
        sender = started(*replayed)
        before = decoded(40)
        server.kill()
        server.wait()
        server = started(*serve)
        assert "0 ms of look-ahead" in server.stdout.readline()
        assert decoded(60) > before + 60  # it goes on where the sender is by now
        for process in (server, recorded):
            process.send_signal(signal.SIGINT)
        said, wrote = server.communicate(timeout=30)[0], recorded.communicate(timeout=30)[0]
    table = pd.read_csv(files / "decoded.csv")
    card = json.loads((files / "card.json").read_text())
    assert f"{len(table)} frames" in wrote and "received" in said and server.returncode == recorded.returncode == 0
    assert card["frames"]["missing"] == card["frames"]["refused"] == 0 and card["frames"]["received"] > 60
    whole = fitted().predict(recording("new", 9, n=1200)).set_index("frame")["probability"]
    assert len(table) >= 150
    first = table.iloc[:table["frame"].diff().lt(0).argmax()]  # of the first sender: the same numbers, from the start
    assert len(first) >= 50 and np.allclose(first["probability"], whole[first["frame"]], atol=1e-6)
    assert table["frame"].diff().lt(0).sum() == 1  # the second; the server that came back went on in the middle of it


def test_a_record_is_whole_or_not_at_all(tmp_path, fitted, served):
    assert record("tcp://127.0.0.1:56179", tmp_path / "none.csv", stop=lambda: True) == 0
    assert not list(tmp_path.iterdir())


def test_packages_that_are_not_there_are_named(files, capsys, monkeypatch):
    for flag, value, package in (("--lsl", "mine", "pylsl"), ("--osc", "127.0.0.1:9000", "pythonosc")):
        monkeypatch.setitem(sys.modules, package, None)
        monkeypatch.setitem(sys.modules, f"{package}.udp_client", None)
        assert cli.main(["stream", "serve", str(files / "decoder.safetensors"), flag, value]) == 1
        assert "pip install" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "zmq", None)
    assert cli.main(["stream", "replay", str(files / "new.npz")]) == 1
    assert "calcium-decoding[stream]" in capsys.readouterr().err
