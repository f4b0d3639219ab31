"""Memory and speed of training on 200,000 frames x 50 ROIs, against plain PyTorch on windows held in memory.

The peer is what most code does: all windows as one array, ``TensorDataset`` and ``DataLoader``, ``nn.GRU``, Adam. Both
arms train the same network on the same frames with the same batch size, each in a fresh process of one thread. Data are
random numbers: this measures cost, not decoding. Prints a table and, last, one line of JSON with the ratios.
"""

import argparse
import json
import subprocess
import sys
import time

from roi_rnn import peak_mb

N_FRAMES, N_ROI, PAST, FUTURE, BATCH = 200_000, 50, 15, 15, 256


def frames(n):
    import numpy as np

    rng = np.random.default_rng(0)
    return rng.random((n, N_ROI), dtype=np.float32), (np.arange(n) // 60 % 2).astype(np.uint8)


def ours(n):
    from calcium_decoding import models
    from calcium_decoding.models import training
    from calcium_decoding.preprocessing.windows import WindowSet, WindowSpec
    signal, run = frames(n)
    spec = WindowSpec(PAST, FUTURE)
    train = WindowSet.build([("train", signal, run, [(0, n)])], spec)
    valid = WindowSet.build([("valid", signal[:2000], run[:2000], [(0, 2000)])], spec)
    network = models.build("gru", N_ROI, PAST, seed=1)
    start = time.perf_counter()
    training.fit(network, train, valid, training.TrainingSettings(epochs=1, batch_size=BATCH))
    return len(train), time.perf_counter() - start


def peer(n):
    import numpy as np
    import torch
    from numpy.lib.stride_tricks import sliding_window_view
    from torch import nn
    from torch.utils.data import DataLoader, TensorDataset

    from calcium_decoding import models

    torch.set_num_threads(1)
    signal, run = frames(n)
    windows = np.ascontiguousarray(sliding_window_view(signal, PAST + FUTURE + 1, axis=0).transpose(0, 2, 1))
    labels = run[PAST : n - FUTURE].astype(np.float32)
    loader = DataLoader(TensorDataset(torch.from_numpy(windows), torch.from_numpy(labels)), BATCH, shuffle=True)
    network = models.build("gru", N_ROI, PAST, seed=1)
    optimiser = torch.optim.Adam(network.parameters())
    start = time.perf_counter()
    for x, y in loader:
        optimiser.zero_grad()
        nn.functional.binary_cross_entropy_with_logits(network(x), y).backward()
        optimiser.step()
    return len(labels), time.perf_counter() - start


def arm(name, n):
    """Run one arm in this process and print its figures as JSON."""
    train = {"ours": ours, "peer": peer}[name]
    train(2000)  # what PyTorch imports and allocates at first use is no part of the speed
    n_windows, seconds = train(n)
    print(json.dumps({"peak_mb": round(peak_mb()), "windows_per_s": round(n_windows / seconds)}))


def main():
    """Run both arms in fresh processes and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=N_FRAMES)
    parser.add_argument("--arm", choices=("ours", "peer"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.arm:
        return arm(options.arm, options.frames)
    found = {}
    for name in ("ours", "peer"):
        command = [sys.executable, __file__, "--arm", name, "--frames", str(options.frames)]
        found[name] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    print(f"{'':<28}{'peak memory, MB':>16}{'windows/s':>12}")
    for name, label in (("ours", "frames gathered by batch"), ("peer", "windows held in memory")):
        print(f"{label:<28}{found[name]['peak_mb']:>16}{found[name]['windows_per_s']:>12}")
    print(json.dumps({
        "frames": options.frames, "peak_mb": found["ours"]["peak_mb"], "peer_peak_mb": found["peer"]["peak_mb"],
        "memory_ratio": round(found["ours"]["peak_mb"] / found["peer"]["peak_mb"], 3),
        "speed_ratio": round(found["ours"]["windows_per_s"] / found["peer"]["windows_per_s"], 3)}))


if __name__ == "__main__":
    main()
