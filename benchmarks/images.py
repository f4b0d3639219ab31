"""Speed and memory of image decoding at 128 x 128, against the plain PyTorch program of a file an image.

The peer is what a lab would write first: each image of three frames, normalised, in its own ``.npz`` file; a Dataset
and a DataLoader; contiguous memory, eager, glibc's own malloc settings. Its windows hold 11 images, and each is put
through the convolutional network with every window that holds it. Ours reads the movie and computes the features of an
image once. Both have the same networks (EfficientNet-B0; CNN-GRU) and the same weights. A check first trains ours for
some steps and holds the probabilities of both, and the loss of one batch without dropout, against each other.

Then rounds: in each one every arm, in turn, forward and back, so that a drift of the machine cancels. Each arm has two
cores. Ours are two processes of one thread, as folds run; the peer is one process of two threads, and further rows give
it two processes, other batch sizes, or workers that load its files. Training is on single images with the same batch
size in all arms, Adam and cross entropy; ours is also one-cycle and validates one batch within the clock. First use,
normalising, and making the peer's files are outside the clock. Predicting, a rate counts windows, which are as many as
the frames that get a label. Ratios by processor time are for a machine that does other work too; they count what the
two threads of the peer spend waiting for each other.

The matrix-product peak is float32, 2048 cubed, by PyTorch in two pinned processes at once. Peak memory is the largest
resident size of a process, pages of the mapped movie counted, summed over the processes of an arm. At the end two
processes decode one long session, one from images and one from windows of them. Frames are random smooth pictures at
the size of real ones: this measures cost, not decoding. Prints tables and, last, one line of JSON with the ratios.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from roi_rnn import MALLOC, answers, matrix_products, middle, peak_mb, timed, with_spread

SIDE, LONG_FRAMES, EACH_SIDE, SEED, BATCH = 128, 18_000, 5, 1, 32
LENGTH = 2 * EACH_SIDE + 1  # images of a window
BOUT = 12  # frames
LEARN_WINDOWS, LEARN_RUN = 160, 16  # what the network of the check learns from, and how many neighbours at a time
CHECKED = 64
KINDS = {"windows": "inference", "images": "image_inference", "train": "training"}  # work, and its name in the summary
SAME = 1e-4  # of the standard deviation of the probabilities, and of a loss


@dataclass(frozen=True)
class Arm:
    """What is measured under one name: whose program, and what differs from its defaults."""

    label: str
    peer: bool = True
    processes: int = 1
    windows: int = 8  # of a batch in which the peer predicts
    workers: int = 0  # of the peer's DataLoader
    malloc: bool = False  # with glibc's settings of the Makefile
    folded: bool = True


ARMS = {
    "ours": Arm("ours", peer=False, processes=2, malloc=True),
    "peer": Arm("peer"),
    "ours_not_folded": Arm("ours, normalisation not folded", peer=False, processes=2, malloc=True, folded=False),
    "peer_few": Arm("peer, 3 windows a batch", windows=3),
    "peer_many": Arm("peer, 32 windows a batch", windows=32),
    "peer_workers": Arm("peer, 2 workers", workers=2),
    "peer_two_processes": Arm("peer, two processes", processes=2),
}


def run_labels(n):
    """Running in bouts."""
    import numpy as np

    return (np.arange(n) // BOUT % 2).astype("u1")


def write_pictures(path, n):
    """A synthetic movie: smooth noise that changes with each frame, shot noise, and a spot that shines in bouts."""
    import numpy as np
    import torch
    from torch.nn.functional import interpolate

    from calcium_decoding.data.movies import write_movie

    rng, run = np.random.default_rng(0), run_labels(n)
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    spot = np.exp(-((y - 0.3) ** 2 + (x - 0.6) ** 2) / 0.02)

    def smooth(frames):
        small = torch.from_numpy(rng.standard_normal((frames, 1, 16, 16), dtype=np.float32))
        return interpolate(small, (SIDE, SIDE), mode="bilinear")[:, 0].numpy()

    def chunks():
        still = 8000 + 2000 * smooth(1)
        for first in range(0, n, 300):
            of = run[first : first + 300]
            noise = 60 * rng.standard_normal((len(of), SIDE, SIDE), dtype=np.float32)
            yield (still + 200 * smooth(len(of)) + 400.0 * of[:, None, None] * spot + noise).clip(0).astype(np.uint16)

    write_movie(path, chunks(), (n, SIDE, SIDE))


def movie_frames(path):
    """Normalised frames of a movie, as the library reads them."""
    from calcium_decoding.data.movies import Movie
    from calcium_decoding.preprocessing.movie_frames import MovieFrames, MovieScaling
    movie = Movie(path)
    return MovieFrames({"m": movie}, {"m": MovieScaling.of(movie)})


def samples(frames, n, each_side):
    """The first ``n`` images, or windows of images, as the library decodes them."""
    from calcium_decoding.models.images.training import Images, ImageSequences
    from calcium_decoding.preprocessing.movie_frames import image_window
    from calcium_decoding.preprocessing.windows import WindowSet
    spec = image_window(each_side)
    stop = n + spec.length - 1
    windows = WindowSet.over(frames, [("m", 0, run_labels(len(frames)), [(0, stop)])], spec)
    return ImageSequences(windows) if each_side else Images(windows)


def networks(weights=None):
    """The convolutional network, and the same one under a GRU; trained weights if there are."""
    from safetensors.torch import load_file

    from calcium_decoding.models import build_image

    image = build_image("cnn", "none", seed=SEED)
    sequence = build_image("cnn_gru", seed=SEED, image_decoder=image)
    if weights is not None:
        sequence.load_state_dict(load_file(weights))
        image.load_state_dict({k: v for k, v in sequence.image_decoder.state_dict().items()})
    return image, sequence


def settle(network, frames):
    """Take the statistics of normalisation anew: over the few steps of the check they lag behind the weights."""
    import torch

    norms = [module for module in network.eval().modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.train().momentum = None  # the mean over all batches
    images = samples(frames, 4 * BATCH, 0)
    with torch.no_grad():
        for which in torch.arange(len(images)).split(BATCH):
            images.logits(network, which)


class Ours:
    """The library's decoders, trained and asked as the chapters do."""

    def __init__(self, arm, folder):
        from calcium_decoding.models import training
        from calcium_decoding.models.images import training as of_images

        self.engine, self.stage = training, of_images.Stage(epochs=1, batch_size=BATCH)
        self.frames = movie_frames(folder / "movie.tif")
        self.image, self.sequence = networks(folder / "weights.safetensors")
        if not arm.folded:
            of_images.for_inference = lambda network: network

    def predict_images(self, n):
        return self.engine.predict_samples(self.image, samples(self.frames, n, 0))

    def predict_windows(self, n):
        return self.engine.predict_samples(self.sequence, samples(self.frames, n, EACH_SIDE))

    def train(self, n):
        """Losses of the epochs, here one, over ``n`` images."""
        return self.engine.fit_samples(self.image, samples(self.frames, n, 0), samples(self.frames, BATCH, 0),
                                       self.stage, SEED).train_loss[0]


class Files:
    """Windows of so many images, each image from its own file, with the label of the one in the middle."""

    def __init__(self, folder, n, length):
        self.folder, self.n, self.length, self.labels = folder, n, length, run_labels(n + length + 1)

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        import numpy as np
        import torch

        images = [np.load(self.folder / f"{j}.npz")["image"] for j in range(i, i + self.length)]
        label = torch.tensor(float(self.labels[i + self.length // 2 + 1]))
        return torch.from_numpy(images[0] if self.length == 1 else np.stack(images)), label


class Peer:
    """The same decoders in plain PyTorch."""

    def __init__(self, arm, folder):
        import torch

        torch.set_num_threads(2 // arm.processes)
        self.arm, self.folder = arm, folder / "images"
        self.image, self.sequence = (network.to(memory_format=torch.contiguous_format)
                                     for network in networks(folder / "weights.safetensors"))

    def _loader(self, n, length, batch, **options):
        from torch.utils.data import DataLoader

        return DataLoader(Files(self.folder, n, length), batch, num_workers=self.arm.workers, **options)

    def _predict(self, network, n, length, batch):
        import torch

        network.eval()
        with torch.no_grad():
            logits = [network(images) for images, _ in self._loader(n, length, batch)]
        return torch.cat(logits).sigmoid().double().numpy()

    def predict_images(self, n):
        return self._predict(self.image, n, 1, self.arm.windows * LENGTH)

    def predict_windows(self, n):
        return self._predict(self.sequence, n, LENGTH, self.arm.windows)

    def train(self, n):
        """Mean loss over ``n`` images."""
        import torch

        self.image.train()
        optimiser, total = torch.optim.Adam(self.image.parameters()), 0.0
        for images, labels in self._loader(n, 1, BATCH, shuffle=True, drop_last=True):
            optimiser.zero_grad()
            loss = torch.nn.functional.binary_cross_entropy_with_logits(self.image(images), labels)
            loss.backward()
            optimiser.step()
            total += loss.item() * len(labels)
        return total / (n // BATCH * BATCH)


def prepare(folder, options):
    """Movies, the peer's files, and weights that some steps of training have made."""
    import numpy as np
    from safetensors.torch import save_file

    from calcium_decoding.models import training
    from calcium_decoding.models.images.training import Stage

    write_pictures(folder / "movie.tif", options.frames)
    frames = movie_frames(folder / "movie.tif")
    (folder / "images").mkdir()
    for i in range(options.frames - 2):
        np.savez(folder / "images" / f"{i}.npz", image=frames[i : i + 3])
    _, network = networks()
    stage = Stage(epochs=2, batch_size=2 * LEARN_RUN, consecutive=LEARN_RUN)
    train, valid = (samples(frames, n, EACH_SIDE) for n in (LEARN_WINDOWS, LEARN_RUN))
    training.fit_samples(network, train, valid, stage, SEED)
    settle(network.image_decoder, frames)
    save_file({k: v.contiguous() for k, v in network.state_dict().items()}, folder / "weights.safetensors")


def check(name, folder):
    """Probabilities of some images and windows, and the loss of one batch in training mode without dropout."""
    program = (Peer if ARMS[name].peer else Ours)(ARMS[name], folder)
    found = {"images": program.predict_images(CHECKED).tolist(), "windows": program.predict_windows(CHECKED).tolist()}
    program.image.cnn.drop_rate = 0.0
    for module in program.image.modules():
        if hasattr(module, "drop_prob"):
            module.drop_prob = 0.0
    return found | {"loss": program.train(BATCH)}


def differences(folder, options):
    """Largest differences of both arms from the same weights; exit unless they agree."""
    import numpy as np

    ours, peer = (answers([start(name, "check", folder, options)])[0] for name in ("ours", "peer"))
    found = {f"{key}_difference_over_sd": float(np.abs(np.subtract(ours[key], peer[key])).max() / np.std(peer[key]))
             for key in ("images", "windows")}
    found["loss_difference"] = abs(ours["loss"] - peer["loss"])
    print(f"from the same weights: probabilities of images have SD {np.std(peer['images']):.3f} and differ by at most "
          f"{found['images_difference_over_sd']:.1e} of it; of windows, SD {np.std(peer['windows']):.3f} and "
          f"{found['windows_difference_over_sd']:.1e}; losses of a batch {ours['loss']:.6f} and {peer['loss']:.6f}",
          flush=True)
    if max(found.values()) > SAME:
        raise SystemExit(f"{found}: the arms do not do the same work")
    return found


def processor_s():
    """Processor time of this process and its workers that have ended."""
    return sum(os.times()[:4])


def measure(name, folder, options):
    """Samples, seconds and processor seconds of each kind of work, in this process."""
    arm = ARMS[name]
    program = (Peer if arm.peer else Ours)(arm, folder)
    n_windows = options.peer_windows if arm.peer else options.frames - LENGTH - 1
    found = {}
    for key, work, n, few in (("windows", program.predict_windows, n_windows, 2 * arm.windows),
                              ("images", program.predict_images, options.images, 2 * BATCH),
                              ("train", program.train, options.images, 2 * BATCH)):
        work(few)
        used = []
        seconds = timed(lambda work=work, n=n, used=used: used.extend((processor_s(), work(n), processor_s())))
        found[key] = (n, seconds, used[-1] - used[0])
    return found | {"peak_mb": peak_mb()}


def long_session(each_side, folder):
    """Peak memory and frames a second of decoding one long session, normalising included, in this process."""
    network = networks(folder / "weights.safetensors")[bool(each_side)]
    from calcium_decoding.models import training

    began = time.perf_counter()
    frames = movie_frames(folder / "long.tif")
    n = len(frames) - 2 * each_side - 2
    training.predict_samples(network, samples(frames, n, each_side))
    return {"frames_per_s": n / (time.perf_counter() - began), "peak_mb": peak_mb()}


def gflop_per_image():
    """Floating-point operations of one image, forward; a multiply-add counts 2."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        networks()[0].eval()(torch.zeros(1, 3, SIDE, SIDE))
    return counter.get_total_flops() / 1e9


def start(name, what, folder, options, core=0):
    """A process of an arm, pinned to one core if it is one of two."""
    arm = ARMS.get(name) or Arm("the library", processes=2, malloc=True)
    cores = [options.cores[core]] if arm.processes == 2 else options.cores
    env = {key: value for key, value in os.environ.items() if key not in MALLOC} | (MALLOC if arm.malloc else {})
    env |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(len(cores)))
    command = [sys.executable, __file__, "--work", what, "--arm", name, "--folder", str(folder), "--cores",
               *map(str, cores), "--frames", str(options.frames), "--peer-windows", str(options.peer_windows),
               "--images", str(options.images)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)


def one_round(name, folder, options):
    """Rates of an arm over its processes, a second, and summed megabytes."""
    n = ARMS[name].processes if name in ARMS else 2
    each = answers([start(name, "measure", folder, options, core) for core in range(n)])
    rates = {key: sum(one[key][0] for one in each) / max(one[key][1] for one in each)
             for key in each[0] if key != "peak_mb"}
    rates |= {f"{key} by processor": sum(one[key][0] for one in each) / sum(one[key][2] for one in each)
              for key in KINDS if key in each[0]}
    return rates | {"peak_mb": sum(one.get("peak_mb", 0) for one in each)}


def ratio(found, key, peer="peer"):
    """Ours over the peer: of the medians, and the smallest and largest of a round."""
    each = [a[key] / b[key] for a, b in zip(found["ours"], found[peer], strict=True)]
    return [round(v, 2) for v in (middle(found["ours"], key) / middle(found[peer], key), min(each), max(each))]


def print_tables(found, long, gflop):
    peak = middle(found["peak"], "peak") / 1e9
    print(f"\nmatrix-product peak {peak:.0f} GFLOP/s over two processes; {gflop:.3f} GFLOP an image; medians of "
          f"{len(found['peak'])} rounds (smallest to largest), a second, on two cores")
    print(f"{'':<34}{'CNN-GRU, windows':<24}{'CNN, images':<24}{'CNN, images trained':<24}{'% of peak':>18}"
          f"{'peak MB':>9}")
    for name, rounds in found.items():
        if name != "peak":
            share = [100 * middle(rounds, key) * gflop * times / peak for key, times in (("images", 1), ("train", 3))]
            cells = "".join(f"{with_spread(rounds, key):<24}" for key in ("windows", "images", "train"))
            print(f"{ARMS[name].label:<34}{cells}{f'{share[0]:.0f}, train {share[1]:.0f}':>18}"
                  f"{middle(rounds, 'peak_mb'):>9,.0f}")
    for key, one in long.items():
        print(f"a session of {one['frames']} frames, {key}: peak {one['peak_mb']:,.0f} MB, "
              f"{one['frames_per_s']:.0f} frames/s in one process of two")


def summary(found, long, apart, gflop, options):
    peak = middle(found["peak"], "peak") / 1e9
    peers = [name for name in found if name.startswith("peer")]
    best = {key: max(peers, key=lambda name, key=key: middle(found[name], key)) for key in KINDS}
    line = {"frames": options.frames, "rounds": options.rounds}
    for key, name in KINDS.items():
        whole, *spread = ratio(found, key)
        line |= {f"{name}_speed_ratio": whole, f"{name}_speed_ratio_range": spread,
                 f"{name}_speed_ratio_by_processor_time": ratio(found, f"{key} by processor")[0],
                 f"{name}_speed_ratio_to_best_peer": ratio(found, key, best[key])[0], f"{name}_best_peer": best[key]}
    return line | {
        "images_per_s": round(middle(found["ours"], "images"), 1),
        "windows_per_s": round(middle(found["ours"], "windows"), 1),
        "trained_images_per_s": round(middle(found["ours"], "train"), 1),
        "share_of_peak_inference": round(middle(found["ours"], "images") * gflop / peak, 3),
        "share_of_peak_training": round(middle(found["ours"], "train") * gflop * 3 / peak, 3),
        "gflop_s_peak": round(peak, 1), "gflop_per_image": round(gflop, 4),
        "long_frames": options.long_frames} | {
        f"long_{key}_peak_mb": round(one["peak_mb"]) for key, one in long.items()} | {
        key: float(f"{value:.2g}") for key, value in apart.items()}


def main():
    """Check that the arms do the same work, run the rounds and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=600, help="of the movie that ours decodes in each process")
    parser.add_argument("--peer-windows", type=int, default=128, help="that the peer decodes")
    parser.add_argument("--images", type=int, default=320, help="that single images are decoded and trained on")
    parser.add_argument("--long-frames", type=int, default=LONG_FRAMES, help="of the session for peak memory")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cores", type=int, nargs="+", help="two, for all arms; the first two if not said")
    extra = [name for name in ARMS if name not in ("ours", "peer")]
    parser.add_argument("--extra", nargs="*", choices=extra, default=extra, help="arms beside ours and the peer")
    parser.add_argument("--quick", action="store_true", help="a trial of the script: too short to measure anything")
    parser.add_argument("--work", choices=("measure", "check", "long"), help=argparse.SUPPRESS)
    parser.add_argument("--arm", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, options.cores)
        if options.work == "long":
            return print(json.dumps(long_session(EACH_SIDE if options.arm == "windows" else 0, options.folder)))
        if options.work == "check":
            return print(json.dumps(check(options.arm, options.folder)))
        peak = options.arm == "peak"
        return print(json.dumps(matrix_products() if peak else measure(options.arm, options.folder, options)))
    if options.quick:
        options.frames, options.peer_windows, options.images = 180, 4, 64
        options.long_frames, options.rounds = 1200, 1
    options.cores = options.cores or sorted(os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else (0, 1))[:2]
    names = ["peak", "ours", "peer", *options.extra]
    found = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        prepare(folder, options)
        apart = differences(folder, options)
        for i in range(options.rounds):
            for name in names if i % 2 == 0 else reversed(names):
                found[name].append(one_round(name, folder, options))
                print(f"round {i + 1} of {options.rounds}: {name} done", file=sys.stderr, flush=True)
        write_pictures(folder / "long.tif", options.long_frames)
        kinds = ("images", "windows")
        both = answers([start(kind, "long", folder, options, core) for core, kind in enumerate(kinds)])
        long = {kind: one | {"frames": options.long_frames} for kind, one in zip(kinds, both, strict=True)}
    gflop = gflop_per_image()
    print_tables(found, long, gflop)
    print(json.dumps(summary(found, long, apart, gflop, options)))


if __name__ == "__main__":
    main()
