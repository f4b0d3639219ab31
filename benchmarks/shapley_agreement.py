"""Deep SHAP against sampled interventional Shapley values, on networks of the study's size trained on simulated data.

The GRU of one fold of the data set `simulated` is trained as the demo of chapter 23 trains it. Some test windows are
explained against the same background by :func:`calcium_decoding.explain.deep_shap.values` and by permutations, which
know no rules. Players are the 50 ROIs, the 31 frames, or all 1,550 inputs. How noisy the permutations still are is told
by two independent halves of them. Prints a table and, last, one line of JSON; with --write also
`book/stored/shapley_agreement.json`, which chapter 24 shows. Some minutes of one thread.
"""

import argparse
import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy import stats

from calcium_decoding import models, splits
from calcium_decoding.evaluation import cards, metrics
from calcium_decoding.experiments.engine import Experiment
from calcium_decoding.experiments.inputs import Traces
from calcium_decoding.explain import deep_shap
from calcium_decoding.explain.deep_shap import sampling
from calcium_decoding.models import names, training
from calcium_decoding.preprocessing.windows import WindowSpec
from calcium_decoding.simulation import widefield
from calcium_decoding.utils.files import write_json
from decoding_book.chapters import shap

SPEC = WindowSpec(15, 15)
SETTINGS = training.TrainingSettings(epochs=2, batch_size=128, learning_rate=0.005)
DATA = {"world": "paper_like", "seed": 1, "sessions_per_animal": 4, "frames_per_session": 3600}
STORED = Path(__file__).resolve().parents[1] / "book" / "stored" / "shapley_agreement.json"
UPDATES = (600, 3000)  # the first as the demo of chapter 23; more makes networks that are surer of themselves
PAIRS = 2  # of orders for each background window
PLAYERS = {  # numbers of players of each frame and ROI; windows explained
    "ROIs": (np.tile(np.arange(50), (31, 1)), 16),
    "frames": (np.tile(np.arange(31)[:, None], (1, 50)), 16),
    "inputs": (np.arange(31 * 50).reshape(31, 50), 2),
}


def windows_of_fold(data):
    """Training, validation and test windows of the first fold."""
    dataset = widefield.dataset(widefield.SimulationSettings(**data))
    recipe = {"name": "published", "rate_hz": widefield.RATE_HZ, "baseline_frames": 1000}
    experiment = Experiment(dataset, splits.animal_pairs(dataset), Traces(recipe, SPEC), training=SETTINGS)
    experiment.audit()
    return experiment.fold_task(experiment.split.folds[0], "gru").windows()


def compare(values, halves):
    """How values of players, (n, n_players), go with the sampled ones, of two halves."""
    wanted = halves.mean(axis=0)
    half = float(np.corrcoef(halves[0].ravel(), halves[1].ravel())[0, 1])
    by_window = [np.corrcoef(a, b)[0, 1] for a, b in zip(values, wanted, strict=True)]
    maps = [np.abs(some).mean(axis=0) for some in (values, wanted)]
    return {
        "r": float(np.corrcoef(values.ravel(), wanted.ravel())[0, 1]),
        "reliability": 2 * half / (1 + half),  # Spearman-Brown: of the mean of both halves
        "r_by_window_median": float(np.median(by_window)), "r_by_window_least": float(np.min(by_window)),
        "r_of_maps": float(np.corrcoef(*maps)[0, 1]), "rank_r_of_maps": float(stats.spearmanr(*maps).statistic),
        "rms_error_over_rms": float(np.sqrt(((values - wanted) ** 2).mean() / (wanted**2).mean()))}


def explain(updates, train, valid, test, options):
    """Rows of one network: trained so many steps, explained in both ways."""
    settings = replace(SETTINGS, min_updates=updates, seed=options.seed)
    decoder = models.build("gru", train.n_roi, SPEC.past_frames, options.seed)
    training.fit(decoder, train, valid, settings)
    decoder.eval()
    p_run = training.predict(decoder, test)
    about = {"updates": updates, "auc": float(metrics.auc(test.labels, p_run)),
             "in_doubt": float(((p_run > 0.05) & (p_run < 0.95)).mean())}
    every = test.starts[:, None] + np.arange(SPEC.length)
    drawn = np.random.default_rng(options.seed).choice(len(test), options.background, replace=False)
    background, rows = test.frames[every[drawn]], []
    for name, (players, n) in PLAYERS.items():
        if name == "inputs" and (options.quick or updates != UPDATES[0]):
            continue
        windows = test.frames[every[np.linspace(0, len(test), 3 if options.quick else n, endpoint=False, dtype=int)]]
        halves = sampling.sampled(decoder, windows, background, players, PAIRS, options.seed, name)
        for output in names.OUTPUTS:
            found = deep_shap.values(decoder, windows, background, output)
            by_player = np.stack([np.bincount(players.ravel(), one.ravel()) for one in found.values])  # noqa: PD011
            rows.append(about | {"players": name, "output": output, "windows": len(windows),
                                 "orders": 2 * PAIRS * options.background} | compare(by_player, halves[output]))
    return rows


def main():
    """Train, explain in both ways, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--background", type=int, default=100)
    parser.add_argument("--seed", type=int, default=123)
    parser.add_argument("--write", action="store_true", help=f"to {STORED.name} in book/stored")
    parser.add_argument("--quick", action="store_true", help="a trial of the script: too short to measure anything")
    options = parser.parse_args()
    if options.quick and options.write:
        parser.error("a trial is not written: leave out --quick or --write")
    torch.set_num_threads(1)
    data = DATA | ({"animals": 3, "sessions_per_animal": 1} if options.quick else {})
    windows = windows_of_fold(data)
    rows = [row for updates in UPDATES[: 1 if options.quick else None]
            for row in explain(updates, *windows, options)]
    found = {"rows": rows, "model": "gru, 32 units, 50 ROIs x 31 frames, first fold of animal_pairs", "data": data,
             "simulated": True, "training": asdict(SETTINGS), "background": options.background, "seed": options.seed,
             "code_hash": shap.agreement_code(), "code_version": cards.code_version()}
    print(pd.DataFrame(rows).to_string(index=False, float_format="{:.4f}".format))
    if options.write:
        write_json(STORED, found)
    print(json.dumps({"background": options.background, "seed": options.seed}
                     | {f"{row['players']}, {row['output']}, {row['updates']} steps": round(row["r"], 4)
                        for row in rows}))


if __name__ == "__main__":
    main()
