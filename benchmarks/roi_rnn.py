"""Speed and memory of the GRU decoder of ROI traces, against Keras 3 with JAX and its own fit and predict.

Each arm is two folds at once: two fresh processes, each pinned to one core, which is the peer's best arrangement too.
Both arms see the same frames of 50 ROIs, windows of 31 frames, labels, loss, Adam and batch size; ours gathers windows
from the frames, the peer holds them as one array, as its users do. A check first starts both from the same weights and
holds their probabilities and losses, before and after steps of Adam, against each other. Then rounds: in each one every
arm, in turn, forward and back, so that a drift of the machine cancels. Compiling and first use are outside the clock;
the two processes of an arm start their clocks together, and its rate is all their windows over the longer of the two
times. Ours validates one batch an epoch within the clock, the peer none. Predicting, ours computes what neighbouring
windows share once; the peer sees windows by themselves.

Peak memory is the largest resident size of each process through training and the first predict, summed; pages that two
processes share, such as those of libraries, count twice in every arm. The matrix-product peak is float32, 2048 cubed,
by PyTorch in two pinned processes at once. Further rows say what was tried; batch sizes of predict other than 4096 are
timed on a quarter of the windows. Frames are random numbers at the size of
real ones: this measures cost, not decoding. Prints tables and, last, one line of JSON with the ratios to the peer.
"""

import argparse
import contextlib
import importlib
import importlib.util
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

N_ROI, PAST, FUTURE, HIDDEN, SEED, SMOOTHING = 50, 15, 15, 32, 1, 1e-3
LENGTH = PAST + 1 + FUTURE
N_WINDOWS = 196_608  # a whole number of batches of every size here: a smaller last batch would be compiled anew
EPOCHS, PREDICTS = 2, 2  # timed passes over all windows a round
PREDICT_BATCHES = (4096, 256, 1024, 16_384)  # of the peer; the first is the one compared
# Keras adds Adam's epsilon before the correction of the second moment, PyTorch after it: losses part a little, later.
SAME, SAME_LATER = 1e-5, 1e-3
PEAK_SIZE, PEAK_PRODUCTS = 2048, 40
MALLOC = {"MALLOC_TRIM_THRESHOLD_": "100000000000", "MALLOC_MMAP_MAX_": "0", "MALLOC_TOP_PAD_": "268435456"}


@dataclass(frozen=True)
class Arm:
    """What is measured under one name: whose decoder, and what differs from its defaults."""

    label: str
    peer: bool = False
    batch: int = 256
    fused: bool = True
    deterministic: bool = True
    unroll: bool = False
    steps_per_execution: int = 1
    malloc: bool = True  # with glibc's settings of the Makefile
    slow: bool = False  # trains on an eighth of the windows, once


ARMS = {
    "ours": Arm("ours"),
    "peer": Arm("Keras 3, JAX", peer=True),
    "ours_not_fused": Arm("ours, nn.GRU as it is", fused=False),
    "ours_not_deterministic": Arm("ours, not deterministic", deterministic=False),
    "ours_1024": Arm("ours, batch 1024", batch=1024),
    "peer_1024": Arm("Keras, batch 1024", peer=True, batch=1024),
    "peer_eight_steps": Arm("Keras, 8 steps an execution", peer=True, steps_per_execution=8),
    "peer_unrolled": Arm("Keras, loop unrolled", peer=True, unroll=True, slow=True),
    "peer_malloc": Arm("Keras, glibc's own settings", peer=True, malloc=False),
}


def frames(n_windows):
    """Signal in percent of the baseline, shape (n_windows + 30, 50), and running in bouts of 60 frames."""
    import numpy as np

    n = n_windows + LENGTH - 1
    return np.random.default_rng(0).standard_normal((n, N_ROI), dtype=np.float32), (np.arange(n) // 60 % 2).astype("u1")


def flop_per_window():
    """Floating-point operations of the matrix products of one window, forward and in training.

    A multiply-add counts 2. Backward: the products of both weight gradients cost as much as forward, and the gradient
    goes to the state before; it does not go to the input, which is data.
    """
    from_input, from_state = 2 * LENGTH * N_ROI * 3 * HIDDEN, 2 * LENGTH * HIDDEN * 3 * HIDDEN
    readout = 2 * HIDDEN
    return from_input + from_state + readout, 2 * from_input + 3 * from_state + 3 * readout


class Ours:
    """The library's decoder, trained and asked as the chapters do."""

    predict_batches = (4096,)  # a name only: the library chooses

    def __init__(self, arm, n_windows, weights, check):
        import numpy as np
        import torch

        from calcium_decoding import models
        from calcium_decoding.models import fused_gru, loop, training

        self.training, self.batch = training, arm.batch
        self.signal, self.run = frames(n_windows)
        self.valid, self.windows = self._windows(256), self._windows(n_windows)
        self.network = models.build("gru", N_ROI, PAST, seed=SEED)
        if not arm.fused:
            fused_gru.applies = lambda *_: False
        if not arm.deterministic:
            torch.set_num_threads(1)
            loop.deterministic = contextlib.nullcontext
        if check:  # biases that start at zero would not show that their order is right
            torch.manual_seed(SEED)
            for name, values in self.network.named_parameters():
                if "bias" in name:
                    torch.nn.init.normal_(values, std=0.1)
            np.savez(weights, **{name: values.numpy() for name, values in self.network.state_dict().items()})

    def _windows(self, n):
        from calcium_decoding.preprocessing.windows import WindowSet, WindowSpec

        stop = n + LENGTH - 1
        return WindowSet.build([("a", self.signal, self.run, [(0, stop)])], WindowSpec(PAST, FUTURE))

    def train(self, n, epochs):
        windows = self.windows if n == len(self.windows) else self._windows(n)
        settings = self.training.TrainingSettings(epochs=epochs, batch_size=self.batch, label_smoothing=SMOOTHING)
        return self.training.fit(self.network, windows, self.valid, settings).train_loss

    def predict(self, n, batch):
        windows = self.windows if n == len(self.windows) else self._windows(n)
        return self.training.predict(self.network, windows)


class Peer:
    """The same decoder in Keras 3, on windows held in memory."""

    predict_batches = PREDICT_BATCHES

    def __init__(self, arm, n_windows, weights, check):
        import keras
        import numpy as np

        signal, run = frames(n_windows)
        windows = np.lib.stride_tricks.sliding_window_view(signal, LENGTH, axis=0).transpose(0, 2, 1)
        self.x, self.batch = np.ascontiguousarray(windows), arm.batch
        self.y = run[PAST : PAST + n_windows].astype(np.float32)
        layers = [keras.layers.GRU(HIDDEN, unroll=arm.unroll), keras.layers.Dense(1, activation="sigmoid")]
        self.network = keras.Sequential([keras.layers.Input((LENGTH, N_ROI)), *layers])
        self.network.compile(keras.optimizers.Adam(1e-3, epsilon=1e-7),
                             keras.losses.BinaryCrossentropy(label_smoothing=SMOOTHING),
                             steps_per_execution=arm.steps_per_execution)
        with np.load(weights) as found:
            self.network.set_weights(self._weights(found))

    @staticmethod
    def _weights(found):
        """PyTorch's gates are reset, update, new; Keras' are update, reset, new. The cells are otherwise the same."""
        import numpy as np

        reset, update, new = np.split(np.arange(3 * HIDDEN), 3)
        of = np.concatenate([update, reset, new])
        both = [found[f"recurrent.bias_{which}_l0"][of] for which in ("ih", "hh")]
        return [found["recurrent.weight_ih_l0"][of].T, found["recurrent.weight_hh_l0"][of].T, np.stack(both),
                found["readout.weight"].T, found["readout.bias"]]

    def train(self, n, epochs):
        return self.network.fit(self.x[:n], self.y[:n], batch_size=self.batch, epochs=epochs, verbose=0).history["loss"]

    def predict(self, n, batch):
        return self.network.predict(self.x[:n], batch_size=batch, verbose=0)[:, 0]


def maker(arm):
    return Peer if arm.peer else Ours


def peak_mb():
    """Largest resident size of this process."""
    status = Path("/proc/self/status")
    if status.exists():  # Linux: what getrusage says there begins with the size of the process that started this one
        return int(status.read_text().split("VmHWM:")[1].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "linux" else 1024**2)


def timed(work):
    """Seconds that ``work`` takes, from the moment at which both processes of an arm are ready."""
    print("ready", flush=True)
    sys.stdin.readline()
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def matrix_products():
    """Work of the arm ``peak``: operations and seconds of float32 matrix products."""
    import torch

    torch.set_num_threads(1)
    a, b = torch.randn(2, PEAK_SIZE, PEAK_SIZE)
    out = a @ b
    seconds = timed(lambda: [torch.mm(a, b, out=out) for _ in range(PEAK_PRODUCTS)])
    return {"peak": (PEAK_PRODUCTS * 2 * PEAK_SIZE**3, seconds)}


def measure(name, n, weights):
    """Windows and seconds of training and of predict by batch size, in this process."""
    arm = ARMS[name]
    importlib.import_module("keras" if arm.peer else "calcium_decoding.models.training")
    imported = peak_mb()
    fold = maker(arm)(arm, n, weights, False)
    for _ in range(2):  # the second call may compile once more
        fold.train(8 * arm.batch, 1)
    n_train, epochs = (n // 8, 1) if arm.slow else (n, EPOCHS)
    found = {"train": (n_train * epochs, timed(lambda: fold.train(n_train, epochs)))}
    for i, batch in enumerate(fold.predict_batches):
        fold.predict(batch, batch)
        few = max(n // 4 // PREDICT_BATCHES[-1], 1) * PREDICT_BATCHES[-1]
        n_predict = few if i else n
        seconds = timed(lambda batch=batch, n=n_predict: [fold.predict(n, batch) for _ in range(PREDICTS)])
        found[f"predict {batch}"] = (n_predict * PREDICTS, seconds)
        found.setdefault("peak_mb", peak_mb())  # the peer's other batch sizes are extra
    return found | {"imported_mb": imported}


def losses_and_probabilities(name, weights):
    """Loss of one batch before training and after each of three steps of Adam; probabilities before training."""
    fold = maker(ARMS[name])(ARMS[name], 256, weights, True)
    probabilities = fold.predict(256, 256).tolist()
    return {"losses": fold.train(256, 4), "probabilities": probabilities}


def start(name, core, weights, options, what):
    env = {key: value for key, value in os.environ.items() if key not in MALLOC}
    env |= MALLOC if name == "peak" or ARMS[name].malloc else {}
    env |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
    env |= {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, __file__, "--work", what, "--arm", name, "--core", str(core), "--weights", weights,
               "--windows", str(options.windows)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)


def answers(workers):
    """Let workers go on together each time all are ready; their last lines, read as JSON."""
    try:
        while True:
            lines = [worker.stdout.readline() for worker in workers]
            if "" in lines:
                raise SystemExit("a process of the benchmark failed; its message stands above")
            if set(lines) != {"ready\n"}:
                return [json.loads(line) for line in lines]
            for worker in workers:
                worker.stdin.write("go\n")
                worker.stdin.flush()
    finally:
        for worker in workers:
            worker.communicate() if sys.exc_info()[0] is None else worker.kill()


def one_round(name, weights, options):
    """Rates of an arm over its two processes, a second, and summed megabytes."""
    both = answers([start(name, core, weights, options, "measure") for core in options.cores])
    sums = {key: sum(each[key] for each in both) for key in ("peak_mb", "imported_mb") if key in both[0]}
    rates = {key: sum(each[key][0] for each in both) / max(each[key][1] for each in both)
             for key in both[0] if key not in sums}
    return sums | rates | {f"{key} s": max(each[key][1] for each in both) for key in rates}


def check(weights, options):
    """Largest differences of losses and probabilities of both arms from the same weights; exit unless they agree."""
    ours, peer = (answers([start(name, options.cores[0], weights, options, "check")])[0] for name in ("ours", "peer"))
    apart = {key: [abs(a - b) for a, b in zip(ours[key], peer[key], strict=True)] for key in ours}
    found = {"first_loss_difference": apart["losses"][0], "later_loss_difference": max(apart["losses"]),
             "probability_difference": max(apart["probabilities"])}
    print(f"from the same weights, loss of the first batch: ours {ours['losses'][0]:.7f}, peer "
          f"{peer['losses'][0]:.7f}; after three steps {ours['losses'][-1]:.7f}, {peer['losses'][-1]:.7f}; "
          f"probabilities differ by at most {found['probability_difference']:.1e}", flush=True)
    if found["later_loss_difference"] > SAME_LATER or max(apart["losses"][0], *apart["probabilities"]) > SAME:
        raise SystemExit(f"{found}: the arms do not do the same work")
    return found


def middle(rounds, key):
    return statistics.median(each[key] for each in rounds)


def with_spread(rounds, key):
    values = [each[key] for each in rounds]
    return f"{statistics.median(values):>9,.0f} ({min(values):,.0f} to {max(values):,.0f})"


def best_predict(rounds):
    """Batch size of the fastest predict, as its key."""
    return max((key for key in rounds[0] if key.startswith("predict") and not key.endswith(" s")),
               key=lambda key: middle(rounds, key))


def ratios(found, key, peer="peer", peer_key=None):
    """Ours over the peer: of the medians, and the smallest and largest of a round."""
    each = [a[key] / b[peer_key or key] for a, b in zip(found["ours"], found[peer], strict=True)]
    return middle(found["ours"], key) / middle(found[peer], peer_key or key), min(each), max(each)


def print_tables(found):
    peak, train_flop = middle(found["peak"], "peak"), flop_per_window()[1]
    print(f"\nmatrix-product peak {peak / 1e9:.0f} GFLOP/s over two processes; medians of {len(found['peak'])} rounds "
          f"(smallest to largest), windows/s of two processes")
    print(f"{'':<30}{'training':<32}{'% of peak':>9}   {'predict (Keras: batch 4096)':<33}{'at best batch':<21}"
          f"{'peak MB':>8}{'imports':>9}")
    for name, rounds in found.items():
        if name != "peak":
            best = best_predict(rounds)
            print(f"{ARMS[name].label:<30}{with_spread(rounds, 'train'):<32}"
                  f"{100 * middle(rounds, 'train') * train_flop / peak:>9.1f}   "
                  f"{with_spread(rounds, 'predict 4096'):<33}"
                  f"{f'{middle(rounds, best):,.0f} at {best.split()[1]}' if ARMS[name].peer else '':<21}"
                  f"{middle(rounds, 'peak_mb'):>8,.0f}{middle(rounds, 'imported_mb'):>9,.0f}")


def summary(found, apart, options):
    peers = {name: rounds for name, rounds in found.items() if name.startswith("peer")}
    peer_trains = max((name for name in peers if ARMS[name].batch == 256), key=lambda n: middle(peers[n], "train"))
    peer_predicts = max(peers, key=lambda name: middle(peers[name], best_predict(peers[name])))
    peak, rate = middle(found["peak"], "peak"), middle(found["ours"], "train")
    (train, *train_range), (predict, *predict_range) = ratios(found, "train"), ratios(found, "predict 4096")
    best_key = best_predict(peers[peer_predicts])
    forward, training = flop_per_window()
    return {
        "windows": options.windows, "rounds": options.rounds, "training_speed_ratio": round(train, 3),
        "training_speed_ratio_range": [round(v, 3) for v in train_range],
        "inference_speed_ratio": round(predict, 3), "inference_speed_ratio_range": [round(v, 3) for v in predict_range],
        "peak_memory_ratio": round(ratios(found, "peak_mb")[0], 3), "share_of_peak": round(rate * training / peak, 4),
        "training_speed_ratio_to_best_peer": round(ratios(found, "train", peer_trains)[0], 3),
        "best_peer_in_training": peer_trains,
        "inference_speed_ratio_to_best_peer": round(ratios(found, "predict 4096", peer_predicts, best_key)[0], 3),
        "best_peer_in_inference": f"{peer_predicts}, {best_key}",
        "timed_s": {f"{name} {key}": round(sum(each[f"{key} s"] for each in found[name]), 1)
                    for name in ("ours", "peer") for key in ("train", "predict 4096")},
        "gflop_s_peak": round(peak / 1e9, 1), "mflop_per_window_forward": round(forward / 1e6, 3),
        "mflop_per_window_training": round(training / 1e6, 3)} | {k: float(f"{v:.2g}") for k, v in apart.items()}


def main():
    """Check that the arms do the same work, run the rounds and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--windows", type=int, default=N_WINDOWS, help=f"of each process, by {PREDICT_BATCHES[-1]}")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cores", type=int, nargs=2, help="to pin the two processes to; the first two if not said")
    extra = [name for name in ARMS if name not in ("ours", "peer")]
    parser.add_argument("--extra", nargs="*", choices=extra, default=extra, help="arms beside ours and the peer")
    parser.add_argument("--quick", action="store_true", help="a trial of the script: too short to measure anything")
    parser.add_argument("--work", choices=("measure", "check"), help=argparse.SUPPRESS)
    parser.add_argument("--arm", help=argparse.SUPPRESS)
    parser.add_argument("--core", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--weights", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        if hasattr(os, "sched_setaffinity"):  # before imports: libraries count the cores they may use
            os.sched_setaffinity(0, {options.core})
        if options.work == "check":
            return print(json.dumps(losses_and_probabilities(options.arm, options.weights)))
        peak = options.arm == "peak"
        found = matrix_products() if peak else measure(options.arm, options.windows, options.weights)
        return print(json.dumps(found))
    missing = [name for name in ("keras", "jax") if not importlib.util.find_spec(name)]
    if missing:
        parser.error(f"{' and '.join(missing)} not installed: pip install -e '.[bench]', or make bench")
    if options.quick:
        options.windows, options.rounds = PREDICT_BATCHES[-1], 1
    if options.windows < 1 or options.windows % PREDICT_BATCHES[-1]:
        parser.error(f"--windows is {options.windows}; a multiple of {PREDICT_BATCHES[-1]} is needed")
    options.cores = options.cores or sorted(os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else (0, 1))[:2]
    names = ["peak", "ours", "peer", *options.extra]
    found = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as folder:
        weights = str(Path(folder) / "weights.npz")
        apart = check(weights, options)
        for i in range(options.rounds):
            for name in names if i % 2 == 0 else reversed(names):
                found[name].append(one_round(name, weights, options))
                print(f"round {i + 1} of {options.rounds}: {name} done", file=sys.stderr, flush=True)
    print_tables(found)
    print(json.dumps(summary(found, apart, options)))


if __name__ == "__main__":
    main()
