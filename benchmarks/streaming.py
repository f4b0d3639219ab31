"""Latency of one frame: a decoder that carries its state along, against the plain way, the whole window each frame.

GRU of 32 units on 50 ROIs, windows of 31 frames, trailing baseline of 1,000 frames; and CNN-GRU on 11 images of 128 x
128 pixels. Networks are not trained, which their speed does not depend on, and frames are noise. The plain way puts the
last 31 frames through ``nn.GRU``, the last 11 images through the whole network; its frames come preprocessed. Both give
the same numbers, which is checked. One thread, in one process, frame by frame in turn, so that what else the machine
does meets both; the time of the processor alone, without waiting for it, stands beside. Prints a table and, last, one
line of JSON.
"""

import argparse
import json
import os
import time

import numpy as np
import torch

import calcium_decoding as cd
from calcium_decoding import models, preprocessing
from calcium_decoding.experiments.fitted import FittedDecoder
from calcium_decoding.models.images.cnn_rnn import for_inference
from calcium_decoding.preprocessing.movie_frames import MovieScaling
from calcium_decoding.streaming import StreamDecoder, quiet

N_ROI, SIDE, GOALS_MS = 50, 128, {"gru": 1.0, "cnn_gru": 1000 / 30}
PERCENTILES = {"p50_ms": 50, "p95_ms": 95, "p99_ms": 99, "p99_9_ms": 99.9, "max_ms": 100}


def gru(rng, n):
    """A stream, its frames, and the plain way: a function of the frames so far."""
    signal = rng.normal(size=(n, N_ROI)).astype(np.float32)
    seen = cd.Traces({"name": "causal", "rate_hz": 30.0}, cd.WindowSpec(15, 15))
    pipeline = preprocessing.build(**seen.preprocessing).fit([(signal, [(0, n)])], ["noise"])
    network, ready = models.build("gru", N_ROI, 15, seed=1).eval(), torch.from_numpy(pipeline.transform(signal))

    def plain(k):
        return network.readout(network.recurrent(ready[None, k - 30 : k + 1])[1][0])

    names = tuple(str(i) for i in range(N_ROI))
    fitted = FittedDecoder(network, "gru", seen, cd.Binary("run"), pipeline, 30.0, names, "")
    return StreamDecoder(fitted), signal, plain


def cnn_gru(rng, n):
    """The same on images."""
    movie = rng.normal(2000, 100, (n, SIDE, SIDE)).astype(np.uint16)
    scaling, seen = MovieScaling.of(movie, [(0, n)]), cd.Movies(5, 1, "session")
    network = models.build_image("cnn_gru", seed=1, image_decoder=models.build_image("cnn", "none", 1))
    ready = torch.from_numpy(((movie - scaling.mean) / scaling.sd).astype(np.float32))
    folded = for_inference(network.eval())

    def plain(k):
        return folded(torch.stack([ready[i - 1 : i + 2] for i in range(k - 11, k)])[None])

    fitted = FittedDecoder(network, "cnn_gru", seen, cd.Binary("run"), None, 30.0, ("1",), "", {}, (SIDE, SIDE))
    return StreamDecoder(fitted, scaling=scaling), movie, plain


def now():
    return np.array([time.perf_counter(), time.thread_time()])


def measured(make, n, n_plain):
    """Times of both ways, ms, by frame: shape (n, 2), by the clock and of the processor."""
    stream, frames, plain = make(np.random.default_rng(0), n)
    stream.warm_up()
    ours, theirs = [], []
    first = stream.spec.length - 1
    every = max(1, (n - first) // n_plain)
    with quiet(1), torch.inference_mode():
        plain(first)
        for k, frame in enumerate(frames):
            start = now()
            found = stream.push(frame)
            ours.append(1000 * (now() - start))
            if k >= first and (k - first) % every == 0:
                start = now()
                other = plain(k)
                theirs.append(1000 * (now() - start))
                assert abs(found.value - torch.sigmoid(other).item()) < 1e-4
    return np.array(ours[first:]), np.array(theirs)


def main():
    """Measure both decoders both ways."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=6000, help="of traces (default: 6000)")
    parser.add_argument("--images", type=int, default=400, help="frames of a movie (default: 400)")
    options = parser.parse_args()
    found = {}
    heads = ("p50", "p95", "p99", "p99.9", "max", "CPU p50", "CPU p99")
    print(f"{'ms a frame':<26}" + "".join(f"{head:>9}" for head in heads))
    for name, make, n, n_plain in (("gru", gru, options.frames, options.frames),
                                   ("cnn_gru", cnn_gru, options.images, options.images // 8)):
        for way, times in zip(("state carried", "whole window"), measured(make, n, n_plain), strict=True):
            row = {column: round(float(np.percentile(times[:, 0], q)), 3) for column, q in PERCENTILES.items()}
            row |= {f"cpu_{column}": round(float(np.percentile(times[:, 1], PERCENTILES[column])), 3)
                    for column in ("p50_ms", "p99_ms")}
            found |= {f"{name}_{way.split()[0]}_{column}": value for column, value in row.items()}
            print(f"{f'{name}, {way}':<26}" + "".join(f"{value:>9.3f}" for value in row.values()))
    print(json.dumps(found | {
        "speedup_" + name: round(found[f"{name}_whole_p50_ms"] / found[f"{name}_state_p50_ms"], 2) for name in GOALS_MS
    } | {f"goal_{name}": found[f"{name}_state_p99_ms"] <= goal for name, goal in GOALS_MS.items()} | {
        "load_1_min": round(os.getloadavg()[0], 2), "threads": 1}))


if __name__ == "__main__":
    main()
