"""Frames of a movie, one at a time: the numbers of ``predict`` on the whole movie to 1e-4, if scaled as it scales."""

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch

import calcium_decoding as cd
from calcium_decoding import models
from calcium_decoding.errors import ParameterError
from calcium_decoding.experiments.fitted import FittedDecoder
from calcium_decoding.preprocessing.movie_frames import MovieScaling
from calcium_decoding.streaming import Server, StreamDecoder, replay
from tests.streaming.test_transport import until

TOLERANCE = 1e-4  # of a probability: normalisations are folded into convolutions for the stream too


class Own(torch.nn.Module):
    """A perceptron on all pixels of a window."""

    def __init__(self, n_frames, n_rows, n_columns):
        super().__init__()
        self.layer = torch.nn.Linear(n_frames * n_rows * n_columns, 1)

    def forward(self, windows):
        return self.layer(windows.flatten(1))


@pytest.fixture(scope="module")
def movie(tmp_path_factory):
    path = tmp_path_factory.mktemp("movie") / "movie.npy"
    rng = np.random.default_rng(0)
    frames = rng.normal(2000, 60, (40, 64, 64)) + 200 * rng.normal(size=(40, 1, 1)).cumsum(axis=0)
    np.save(path, frames.clip(0, 65535).astype(np.uint16))
    return cd.Recording(frames.mean(axis=(1, 2))[:, None], {}, 30.0, "m", "s", movie=cd.Movie(path), simulated=True)


def fitted(source, bin_px=2):
    """A network that was not trained, whose normalisations have seen images, so that its output depends on them."""
    seen, size, task = cd.Movies(2, bin_px, "session"), (64 // bin_px,) * 2, cd.Binary("run")
    if isinstance(source, cd.Network):
        network = source.build(size, seen.window.past_frames, seen.window.length, task.head, 0)
    else:
        network = models.build_image("cnn", "none", 1)
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = 0.5
        with torch.no_grad():
            for _ in range(10):
                network.train()(3 * torch.randn(8, 3, *size) * torch.rand(8, 1, 1, 1) + torch.randn(8, 1, 1, 1))
            network.cnn.classifier.weight *= 3
        if source != "cnn":
            network = models.build_image(source, seed=1, image_decoder=network)
            with torch.no_grad():
                network.readout.weight *= 10
    return FittedDecoder(network.eval(), source, seen, task, None, 30.0, ("1",), "", {"simulated": True}, (64, 64))


@pytest.mark.parametrize("source", ["cnn", "cnn_gru", "cnn_lstm", cd.Network(Own)], ids=str)
def test_frame_by_frame_as_the_whole_movie(movie, source, tmp_path):
    one, frames = fitted(source), movie.movie[0:40]
    with pytest.raises(ParameterError, match=r"FrameScaling would look at the whole recording.*MovieScaling\.of"):
        StreamDecoder(one)
    with pytest.raises(ParameterError, match=r"\(32, 32\) pixels"):
        StreamDecoder(one, scaling=MovieScaling(np.zeros((32, 32), np.float32), 1.0))
    scaling = MovieScaling.of(movie.movie)
    stream, expected = StreamDecoder(one, scaling=scaling), one.predict(movie)
    assert stream.look_ahead_ms == pytest.approx((1 if source == "cnn" else 3) * 1000 / 30)
    found = [stream.push(frame, k) for k, frame in enumerate(frames[:25])]
    stream.save(tmp_path / "state")
    again = StreamDecoder(one, scaling=scaling)
    again.restore(tmp_path / "state")
    found = [each for each in found + [again.push(frame) for frame in frames[25:]] if each is not None]
    assert [each.frame for each in found] == expected["frame"].tolist()
    assert np.ptp(expected["probability"]) > 20 * TOLERANCE
    assert np.allclose([each.value for each in found], expected["probability"], rtol=0, atol=TOLERANCE)


def test_a_movie_over_the_wire(movie):
    pytest.importorskip("zmq")
    one, found = fitted("cnn", 4), []
    stream = StreamDecoder(one, scaling=MovieScaling.of(movie.movie))
    stream.warm_up()
    server = Server(stream, "tcp://127.0.0.1:*", sinks=[found.append], say=lambda line: None)
    thread = threading.Thread(target=server.run, args=[lambda: server.counts["senders_ended"] > 0])
    thread.start()
    assert replay(replace(movie, rate_hz=10.0), server.address, movie=True)["sent"] == 40
    until(lambda: server.counts["senders_ended"])
    thread.join()
    server.close()
    expected = one.predict(movie).set_index("frame")["probability"]
    assert len(found) + server.counts["superseded"] >= 38 and server.counts["refused"] == 0
    assert all(abs(each.value - expected[each.frame]) < TOLERANCE for each in found)
