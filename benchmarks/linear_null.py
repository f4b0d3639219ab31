"""Time of 1,000 re-pairings of a linear decoder on one animal, 14 sessions x 18,000 frames x 50 ROIs, against refits.

The peer is what one would write first: for each re-pairing and each session left out, scikit-learn's ``StandardScaler``
and ``Ridge`` on the frames of the other sessions, then ``roc_auc_score``. It runs a few re-pairings only; its time for
all of them is extrapolated, and the last line says so. The AUCs of those few are compared as well. Each arm runs in a
fresh process of one thread, which is what the ratio is about; a third one shows what two threads give. Data are random
numbers: this measures cost, not decoding. Prints a table and, last, one line of JSON with the ratio.
"""

import argparse
import json
import os
import subprocess
import sys
import time

N_SESSIONS, N_FRAMES, N_ROI, PENALTY, SEED = 14, 18_000, 50, 1.0, 1


def dataset():
    import numpy as np

    from calcium_decoding.data.recording import Dataset, Recording

    rng = np.random.default_rng(0)
    recordings = []
    for i in range(N_SESSIONS):
        run = (np.arange(N_FRAMES) + rng.integers(0, 600)) // 300 % 2
        signal = rng.normal(size=(N_FRAMES, N_ROI)).cumsum(axis=0) / 50 + rng.normal(size=(N_FRAMES, N_ROI))
        recordings.append(Recording(signal, {"run": run}, 30.0, "a", f"s{i}"))
    return Dataset("benchmark", tuple(recordings))


def ours(n_draws, jobs=1):
    from calcium_decoding.evaluation import linear_null

    data = dataset()
    start = time.perf_counter()
    found = linear_null.refit(data, "a", "repairing", n_draws, SEED, penalty=PENALTY, jobs=jobs)
    return time.perf_counter() - start, found.null_aucs.tolist()


def ours_two_threads(n_draws):
    return ours(n_draws, jobs=2)


def peer(n_draws):
    import numpy as np
    from sklearn.linear_model import Ridge
    from sklearn.metrics import roc_auc_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from calcium_decoding.evaluation import nulls

    draws = [nulls.repair_sessions(dataset(), (SEED, k)).recordings for k in range(n_draws)]
    start, values = time.perf_counter(), []
    for recordings in draws:
        aucs = []
        for test in recordings:
            train = [r for r in recordings if r is not test]
            model = make_pipeline(StandardScaler(), Ridge(alpha=PENALTY))
            model.fit(np.concatenate([r.signal for r in train], dtype=float), np.concatenate([r.run for r in train]))
            aucs.append(roc_auc_score(test.run, model.predict(test.signal.astype(float))))
        values.append(float(np.mean(aucs)))
    return time.perf_counter() - start, values


ARMS = {"ours": ours, "ours_two_threads": ours_two_threads, "peer": peer}
LABELS = {"ours": "sums of squares by session", "ours_two_threads": "the same, two threads",
          "peer": "scikit-learn fitted anew"}


def main():
    """Run the arms in fresh processes and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--peer-draws", type=int, default=2)
    parser.add_argument("--arm", choices=ARMS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.arm:
        seconds, values = ARMS[options.arm](options.draws)
        print(json.dumps({"seconds": seconds, "values": values}))
        return
    found = {}
    one_thread = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    print(f"{'':<30}{'re-pairings':>12}{'seconds':>10}{'s each':>10}")
    for name, label in LABELS.items():
        n = min(options.peer_draws, options.draws) if name == "peer" else options.draws
        command = [sys.executable, __file__, "--arm", name, "--draws", str(n)]
        run = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=one_thread)
        found[name] = json.loads(run.stdout) | {"n": n}
        found[name]["each"] = found[name]["seconds"] / n
        print(f"{label:<30}{n:>12}{found[name]['seconds']:>10.1f}{found[name]['each']:>10.4f}", flush=True)
    both = zip(found["ours"]["values"], found["peer"]["values"], strict=False)
    print(json.dumps({
        "re_pairings": options.draws, "seconds": round(found["ours"]["seconds"], 1),
        "seconds_two_threads": round(found["ours_two_threads"]["seconds"], 1),
        "peer_seconds_extrapolated": round(found["peer"]["each"] * options.draws),
        "peer_measured": found["peer"]["n"], "speed_ratio": round(found["peer"]["each"] / found["ours"]["each"], 1),
        "largest_difference_of_auc": max(abs(a - b) for a, b in both)}))


if __name__ == "__main__":
    main()
