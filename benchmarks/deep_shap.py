"""Time of Deep SHAP through a GRU of the study's size, against shap's DeepExplainer given the same rules.

50 ROIs x 31 frames, 32 units, probability of running. The peer is the package shap on the same network written out in
modules it knows (a Sigmoid and a Tanh for every frame) plus a module for products, whose symmetric rule is registered
as a handler; without that its values miss the output by a third of the range. Both then compute the same, and the
largest difference is printed. Each arm runs in a fresh process of one thread, and seconds are of processor time, which
other work on the machine disturbs less. The ratio is of seconds per pair of explained and background window, at two
sizes of the background, and against the peer's best. Ten thousand background windows, as in the study, are timed for
ours only: the peer's time for them is its best time per pair times the number of pairs, and the last line says so.
Weights and windows are random numbers: this measures cost, not decoding. Prints a table and, last, one line of JSON.
"""

import argparse
import json
import os
import subprocess
import sys
import time

from roi_rnn import peak_mb

N_ROI, LENGTH, HIDDEN = 50, 31, 32
BACKGROUNDS = (100, 1000)
STUDY = 10_000
SAME = 1e-5


def decoder_and_windows(n, n_background):
    """A decoder with gates away from where they begin, and smooth windows; the same in every process."""
    import numpy as np
    import torch

    from calcium_decoding import models

    decoder = models.build("gru", N_ROI, LENGTH // 2, seed=1).eval()
    generator = torch.Generator().manual_seed(1)
    for weight in decoder.parameters():
        weight.data.mul_(1.5).add_(0.05 * torch.randn(weight.shape, generator=generator))
        weight.requires_grad_(False)
    def drawn(count, seed):
        steps = np.random.default_rng(seed).normal(size=(count, LENGTH, N_ROI)).astype(np.float32)
        return np.cumsum(steps, axis=1) / LENGTH**0.5
    return decoder, drawn(n, 0), drawn(n_background, 1)


def ours(n, n_background):
    """Seconds and values of :func:`calcium_decoding.explain.deep_shap.values`."""
    from calcium_decoding.explain import deep_shap

    decoder, windows, background = decoder_and_windows(n, n_background)
    deep_shap.values(decoder, windows[:1], background[:10])
    start = time.process_time()
    found = deep_shap.values(decoder, windows, background)
    return time.process_time() - start, found.values


def peer(n, n_background):
    """Seconds and values of shap's DeepExplainer."""
    import shap
    import torch
    from shap.explainers._deep import deep_pytorch

    decoder, windows, background = decoder_and_windows(n, n_background)
    layer = decoder.recurrent

    class Product(torch.nn.Module):
        def forward(self, a, b):
            self.factors = a.detach(), b.detach()
            return a * b

    def symmetric_product(module, grad_input, grad_output):
        """ab - a'b' = (a - a')(b + b')/2 + (b - b')(a + a')/2; rows are windows, then background windows."""
        a, b = ((v[: len(v) // 2] + v[len(v) // 2 :]).repeat(2, 1) / 2 for v in module.factors)
        return grad_output[0] * b, grad_output[0] * a

    class Elementary(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.from_input = torch.nn.Linear(N_ROI, 3 * HIDDEN)
            self.from_state = torch.nn.Linear(HIDDEN, 3 * HIDDEN)
            self.from_input.weight, self.from_input.bias = layer.weight_ih_l0, layer.bias_ih_l0
            self.from_state.weight, self.from_state.bias = layer.weight_hh_l0, layer.bias_hh_l0
            self.gates, self.candidate, self.reset, self.update = (
                torch.nn.ModuleList(kind() for _ in range(LENGTH))
                for kind in (torch.nn.Sigmoid, torch.nn.Tanh, Product, Product))
            self.readout, self.probability = decoder.readout, torch.nn.Sigmoid()

        def forward(self, x):
            given, state = self.from_input(x), x.new_zeros(len(x), HIDDEN)
            for t in range(LENGTH):
                from_state = self.from_state(state)
                gates = self.gates[t](given[:, t, : 2 * HIDDEN] + from_state[:, : 2 * HIDDEN])
                product = self.reset[t](gates[:, :HIDDEN], from_state[:, 2 * HIDDEN :])
                candidate = self.candidate[t](given[:, t, 2 * HIDDEN :] + product)
                state = candidate + self.update[t](gates[:, HIDDEN:], state - candidate)
            return self.probability(self.readout(state))

    deep_pytorch.op_handler["Product"] = symmetric_product
    explainer = shap.DeepExplainer(Elementary(), torch.from_numpy(background))
    explainer.shap_values(torch.from_numpy(windows[:1]), check_additivity=False)
    start = time.process_time()
    found = explainer.shap_values(torch.from_numpy(windows), check_additivity=True)
    return time.process_time() - start, found.reshape(windows.shape)


ARMS = {"ours": ours, "peer": peer}


def measure(arm, n, n_background, rounds, values_to=""):
    """Median seconds of an arm in a fresh process of one thread, each round's, and its peak memory; JSON."""
    import numpy as np
    import torch

    torch.set_num_threads(1)
    imported = peak_mb()
    times = []
    for _ in range(rounds):
        seconds, values = ARMS[arm](n, n_background)
        times.append(seconds)
    if values_to:
        np.save(values_to, values)
    return {"seconds": sorted(times)[len(times) // 2], "times": times, "peak_mb": peak_mb(), "before_mb": imported}


def run(arm, n, n_background, rounds=1, values_to=""):
    """:func:`measure` in a process of its own."""
    env = os.environ | dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    command = [sys.executable, __file__, "--arm", arm, "--windows", str(n), "--background", str(n_background),
               "--rounds", str(rounds), "--values-to", values_to]
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(f"the arm '{arm}' failed; its message stands above")
    return json.loads(done.stdout.splitlines()[-1])


def check():
    """Largest difference of values of both arms; exit unless they agree."""
    import tempfile

    import numpy as np

    with tempfile.TemporaryDirectory() as folder:
        paths = {arm: f"{folder}/{arm}.npy" for arm in ARMS}
        for arm, path in paths.items():
            run(arm, 10, 100, values_to=path)
        one, other = (np.load(path) for path in paths.values())
    apart, size = float(np.abs(one - other).max()), float(np.abs(one).max())
    print(f"values of both: largest difference {apart:.1e}, largest value {size:.2g}, "
          f"r = {np.corrcoef(one.ravel(), other.ravel())[0, 1]:.9f}", flush=True)
    if apart > SAME * max(size, 1):
        raise SystemExit("the arms do not compute the same")
    return apart


def main():
    """Check that the arms compute the same, time them and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--windows", type=int, default=20, help="explained by each arm")
    parser.add_argument("--rounds", type=int, default=3, help="of each arm; the median counts")
    parser.add_argument("--study-windows", type=int, default=100, help=f"explained by ours against {STUDY:,}; 0: none")
    parser.add_argument("--arm", choices=ARMS, help=argparse.SUPPRESS)
    parser.add_argument("--background", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--values-to", default="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.arm:
        return print(json.dumps(measure(options.arm, options.windows, options.background, options.rounds,
                                        options.values_to)))
    apart, found = check(), {}
    print(f"\n{'':<44}{'windows':>8}{'background':>11}{'seconds':>9}{'us a pair':>11}{'peak MB':>9}")
    for n_background in BACKGROUNDS:
        for arm in ARMS:
            found[arm, n_background] = shown(arm, options.windows, n_background, options.rounds)
    ratios = {n: found["peer", n]["us"] / found["ours", n]["us"] for n in BACKGROUNDS}
    peer_best = min(found["peer", n]["us"] for n in BACKGROUNDS)
    summary = {"windows": options.windows, "rounds": options.rounds,
               "ratio": round(ratios[BACKGROUNDS[0]], 2),
               "ratio_by_background": {str(n): round(r, 2) for n, r in ratios.items()},
               "ratio_to_best_peer": round(peer_best / min(found["ours", n]["us"] for n in BACKGROUNDS), 2),
               "largest_difference": float(f"{apart:.2g}")}
    if options.study_windows:
        study = shown("ours", options.study_windows, STUDY, 1)
        summary |= {"study_background": STUDY, "study_windows": options.study_windows,
                    "study_seconds": round(study["seconds"], 1), "study_peak_mb": round(study["peak_mb"]),
                    "study_peer_seconds_extrapolated": round(peer_best * 1e-6 * options.study_windows * STUDY, 1)}
    print(json.dumps(summary))


def shown(arm, n, n_background, rounds):
    """Run, add microseconds per pair, print the row of the table."""
    labels = {"ours": "deep_shap.values", "peer": "shap.DeepExplainer, elementary modules"}
    row = run(arm, n, n_background, rounds)
    row["us"] = 1e6 * row["seconds"] / (n * n_background)
    spread = f"  ({min(row['times']):.2f} to {max(row['times']):.2f} s)" if rounds > 1 else ""
    print(f"{labels[arm]:<44}{n:>8}{n_background:>11,}{row['seconds']:>9.2f}{row['us']:>11.1f}{row['peak_mb']:>9,.0f}"
          f"{spread}", flush=True)
    return row


if __name__ == "__main__":
    main()
