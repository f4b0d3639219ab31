"""Speed of cutting 64 squares out of a session, against masking and recomputing the images of every window.

The peer is what the definition says, in plain PyTorch: for each square the normalised frames, already in memory, are
copied and set to 0 there, every window of 11 images goes through the convolutional network image by image and then
through the GRU; contiguous memory, eager, glibc's own malloc settings. Ours is
:mod:`calcium_decoding.explain.occlusion` as the chapter runs it, from the movie on disk to the AUC of each square in
its file: it computes the features of an image once for each square, in pieces that the processor's cache holds,
normalisation folded into the convolutions. Both have the same network (EfficientNet-B0, CNN-GRU, k = 5, 128 x 128
pixels) with the same weights, which some steps of training have made. A check first holds probabilities of both, of
whole pictures and of the largest squares, against each other.

Ours cuts all 64 squares, and the whole picture beside them, out of one short session; the peer does a **share** of the
same work, some windows of some squares, since all of it would take hours. Both are given as windows times squares a
second. In a longer session ours would share a little more: of a hundred windows and 110 images one in eleven images is
lost at the ends, of the study's 17,988 windows none to speak of.

Each arm has two cores: ours two processes of one thread, which take every other square; the peer one process of two
threads. Rounds go forward and back, so that a drift of the machine cancels. Starting, first use and the training are
outside the clock. Ratios by processor time are for a machine that does other work too. Frames are random smooth
pictures at the size of real ones: this measures cost, not importance. Prints a table and, last, one line of JSON.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from images import (
    BATCH,
    LEARN_RUN,
    LEARN_WINDOWS,
    LENGTH,
    SAME,
    SEED,
    SIDE,
    movie_frames,
    networks,
    processor_s,
    run_labels,
    samples,
    settle,
    write_pictures,
)
from roi_rnn import MALLOC, answers, middle, peak_mb, timed, with_spread

EACH_SIDE = LENGTH // 2
STUDY_WINDOWS, SQUARES = 17_988, 64
ARMS = {"ours": "ours, two processes", "peer": "peer, 8 windows a batch", "peer_many": "peer, 32 windows a batch"}
PEER_BATCH = {"peer": 8, "peer_many": 32}


def prepare(folder, options):
    """A movie, and weights of both stages under the names that a fold looks for."""
    from calcium_decoding.models import loop, training
    from calcium_decoding.models.images.training import Stage

    write_pictures(folder / "movie.tif", max(options.frames, 4 * BATCH + 2, LEARN_WINDOWS + LENGTH + 1))
    frames = movie_frames(folder / "movie.tif")
    _, network = networks()
    stage = Stage(epochs=2, batch_size=2 * LEARN_RUN, consecutive=LEARN_RUN)
    train, valid = (samples(frames, n, EACH_SIDE) for n in (LEARN_WINDOWS, LEARN_RUN))
    training.fit_samples(network, train, valid, stage, SEED)
    settle(network.image_decoder, frames)
    for key, part in (("cnn", network.image_decoder), ("cnn_gru", network)):
        loop.save_weights(folder / f"{key}.weights.safetensors", part, loop.History())


def task_of(folder, options):
    """The fold of the library that tests this session; its networks are there already."""
    from calcium_decoding.experiments import Binary, Movies, MovieTraining
    from calcium_decoding.experiments.movies import MovieFoldTask
    from calcium_decoding.splits import Fold, Segment, Split
    frames = movie_frames(folder / "movie.tif")
    here = (Segment("m", 0, options.frames),)
    split = Split("benchmark", (Fold("one", here, here, here, "m"),), "none (LEAKY)")
    cnn, gru = (folder / f"{name}.weights.safetensors" for name in ("cnn", "cnn_gru"))
    return MovieFoldTask(split, Movies(), Binary("run"), MovieTraining("none", seed=SEED), "cnn_gru",
                         {"m": run_labels(len(frames))}, weights=gru, cnn_weights=cnn, movies=frames.movies,
                         scalings=frames.scalings)


def pieces():
    from calcium_decoding.explain import patches

    return [patches.nothing((SIDE, SIDE)), *patches.squares((SIDE, SIDE))]


class Peer:
    """Masks, and recomputes every image with every window."""

    def __init__(self, name, folder, options):
        import torch
        from safetensors.torch import load_file

        from calcium_decoding.models import build_image

        torch.set_num_threads(len(options.cores))
        network = build_image("cnn_gru", seed=SEED, image_decoder=networks()[0])
        network.load_state_dict(load_file(folder / "cnn_gru.weights.safetensors"))
        self.network = network.eval().to(memory_format=torch.contiguous_format)
        self.frames = torch.from_numpy(movie_frames(folder / "movie.tif")[: options.frames])
        self.batch = PEER_BATCH[name]

    def predict(self, piece, windows):
        """Probabilities of some windows, by their first frame, without a piece."""
        import torch

        frames = self.frames.clone()
        frames[:, torch.from_numpy(piece.mask)] = 0
        at = torch.arange(LENGTH)[:, None] + torch.arange(3)
        with torch.no_grad():
            logits = [self.network(frames[first[:, None, None] + at]) for first in
                      torch.as_tensor(windows).split(self.batch)]
        return torch.cat(logits).sigmoid().double().numpy()


def check(name, folder, options):
    """Probabilities of the whole picture and of two squares, of some windows."""
    which, windows = [0, 11, 30], range(0, options.frames - LENGTH - 1, 5)
    if name != "ours":
        peer = Peer(name, folder, options)
        return [peer.predict(pieces()[i], list(windows)).tolist() for i in which]
    from calcium_decoding.explain import occlusion

    wanted = [pieces()[i] for i in which]
    return [p_run[list(windows)].tolist() for _, p_run in occlusion.decoded(task_of(folder, options), wanted)]


def measure(name, folder, options, part):
    """Windows times squares, seconds and processor seconds, in this process."""
    used = []
    if name == "ours":
        from calcium_decoding.explain import occlusion

        task, n = task_of(folder, options), options.frames - LENGTH - 1
        mine = pieces()[part :: len(options.both)]
        for _ in occlusion.decoded(task, mine[:1]):  # first use
            pass
        named = [(folder / f"{part}.{i}.cut.json", piece) for i, piece in enumerate(mine)]
        seconds = timed(lambda: used.extend((processor_s(), occlusion._test(task, 1, named), processor_s())))
        n *= len(mine)
    else:
        peer, windows = Peer(name, folder, options), list(range(options.peer_windows))
        peer.predict(pieces()[1], windows[: peer.batch])
        mine = pieces()[1 : 1 + options.peer_squares]
        seconds = timed(lambda: used.extend((processor_s(), [peer.predict(piece, windows) for piece in mine],
                                             processor_s())))
        n = len(mine) * len(windows)
    return {"n": n, "seconds": seconds, "processor": used[-1] - used[0], "peak_mb": peak_mb()}


def start(name, what, folder, options, part=0):
    """A process of an arm, pinned to one core if it is one of two."""
    two = name == "ours" and what == "measure"
    cores = [options.cores[part]] if two else options.cores
    env = {key: value for key, value in os.environ.items() if key not in MALLOC} | (MALLOC if name == "ours" else {})
    env |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(len(cores)))
    command = [sys.executable, __file__, "--work", what, "--arm", name, "--folder", str(folder), "--part", str(part),
               "--cores", *map(str, cores), "--both", *map(str, options.cores), "--frames", str(options.frames),
               "--peer-windows", str(options.peer_windows), "--peer-squares", str(options.peer_squares)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)


def one_round(name, folder, options):
    """Rate of an arm over its processes, by the clock and by processor time, and summed megabytes."""
    parts = range(2) if name == "ours" else range(1)
    each = answers([start(name, "measure", folder, options, part) for part in parts])
    n = sum(one["n"] for one in each)
    return {"rate": n / max(one["seconds"] for one in each), "by processor": n / sum(one["processor"] for one in each),
            "peak_mb": sum(one["peak_mb"] for one in each)}


def difference(folder, options):
    """Largest difference over the SD of the probabilities; exit unless the arms agree."""
    import numpy as np

    ours, peer = (np.array(answers([start(name, "check", folder, options)])[0]) for name in ("ours", "peer"))
    apart = float(np.abs(ours - peer).max() / peer.std())
    moved = float(np.abs(peer[1:] - peer[0]).max())
    print(f"probabilities of {peer.shape[1]} windows, whole and without two squares: SD {peer.std():.3f}, the squares "
          f"move them by up to {moved:.3f}; the arms differ by at most {apart:.1e} of the SD", flush=True)
    if apart > SAME or not moved > 0:
        raise SystemExit("the arms do not do the same work")
    return apart


def main():
    """Check that the arms do the same work, run the rounds and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=112, help="of the session that ours cuts all squares out of")
    parser.add_argument("--peer-windows", type=int, default=32, help="of the peer's share")
    parser.add_argument("--peer-squares", type=int, default=2, help="of the peer's share")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cores", type=int, nargs="+", help="two, for all arms; the first two if not said")
    parser.add_argument("--quick", action="store_true", help="a trial of the script: too short to measure anything")
    for hidden, kind in (("--work", str), ("--arm", str), ("--folder", Path), ("--part", int)):
        parser.add_argument(hidden, type=kind, help=argparse.SUPPRESS)
    parser.add_argument("--both", type=int, nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, options.cores)
        found = (check(options.arm, options.folder, options) if options.work == "check" else
                 measure(options.arm, options.folder, options, options.part))
        return print(json.dumps(found))
    if options.quick:
        options.frames, options.peer_windows, options.peer_squares, options.rounds = 24, 8, 1, 1
    options.cores = options.cores or sorted(os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else (0, 1))[:2]
    found, began = {name: [] for name in ARMS}, time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        prepare(folder, options)
        apart = difference(folder, options)
        for i in range(options.rounds):
            for name in ARMS if i % 2 == 0 else reversed(ARMS):
                found[name].append(one_round(name, folder, options))
                print(f"round {i + 1} of {options.rounds}: {name} done", file=sys.stderr, flush=True)
    print_table(found, options)
    print(json.dumps(summary(found, apart, options) | {"minutes": round((time.perf_counter() - began) / 60, 1)}))


def print_table(found, options):
    print(f"\nours: {SQUARES} squares and the whole picture, {options.frames} frames; the peer's share: "
          f"{options.peer_squares} squares, {options.peer_windows} windows; medians of {options.rounds} rounds")
    print(f"{'':<28}{'windows x squares / s':<28}{'by processor time':<28}{'a study session':>18}{'peak MB':>9}")
    for name, rounds in found.items():
        hours = STUDY_WINDOWS * SQUARES / middle(rounds, "rate") / 3600
        print(f"{ARMS[name]:<28}{with_spread(rounds, 'rate'):<28}{with_spread(rounds, 'by processor'):<28}"
              f"{f'{hours:.1f} h':>18}{middle(rounds, 'peak_mb'):>9,.0f}")


def summary(found, apart, options):
    line = {"frames": options.frames, "squares": SQUARES, "rounds": options.rounds,
            "peer_share": options.peer_windows * options.peer_squares / ((options.frames - LENGTH - 1) * SQUARES)}
    for peer in PEER_BATCH:
        each = [a["rate"] / b["rate"] for a, b in zip(found["ours"], found[peer], strict=True)]
        line |= {f"speed_ratio_to_{peer}": round(middle(found["ours"], "rate") / middle(found[peer], "rate"), 2),
                 f"speed_ratio_to_{peer}_range": [round(min(each), 2), round(max(each), 2)],
                 f"speed_ratio_to_{peer}_by_processor_time": round(
                     middle(found["ours"], "by processor") / middle(found[peer], "by processor"), 2)}
    return line | {"windows_x_squares_per_s": round(middle(found["ours"], "rate"), 1),
                   "difference_over_sd": float(f"{apart:.2g}")}


if __name__ == "__main__":
    main()
