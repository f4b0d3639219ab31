"""Chapter 52: a trigger whose delay was planted, lost frames counted by hand, streamed values against offline ones."""

import numpy as np
import pytest

import calcium_decoding as cd
from calcium_decoding.evaluation.onsets import EventSettings
from calcium_decoding.experiments import compare
from calcium_decoding.streaming import timetable
from decoding_book.chapters.real_time import costs

LATE = 6  # frames from behaviour to signal, 200 ms


@pytest.fixture(scope="module")
def found():
    recordings = []
    for animal in range(3):
        rng = np.random.default_rng(animal)
        run = np.repeat(np.arange(40) % 2, rng.integers(45, 90, 40))[:2000].astype(np.uint8)
        signal = np.column_stack([np.roll(run, LATE), np.zeros(2000)]) + rng.normal(0, 0.02, (2000, 2))
        recordings.append(cd.Recording(signal, {"run": run}, 30.0, f"m{animal}", "s", simulated=True))
    dataset = cd.Dataset("late", recordings)
    return compare.compare({f"{ahead} ahead": cd.Experiment(
        dataset, input=cd.Traces("scaled", cd.WindowSpec(3, ahead))).with_folds(3) for ahead in (0, 9)},
        ["logistic"], store=None, jobs=1)


def test_delay_misses_and_false_alarms_of_a_planted_trigger(found):
    table = costs.closed_loop(found, EventSettings(0.5), 2.0, 20, 1).set_index("condition")
    assert table["delay (ms)"].tolist() == pytest.approx([200 + 2, 200 + 300 + 2])  # look-ahead comes on top
    assert (table["missed"] == 0).all() and (table["false alarms a minute"] == 0).all() and table["simulated"].all()
    # Shifted at random: an onset falls into a second and a half of some five with a trigger each.
    assert (table["missed, null"] > 0.4).all() and (table["false alarms a minute, null"] > 3).all()
    scores = {(s.model, s.metric): s.value for s in costs.loop_scores(table.reset_index())}
    assert scores["9 ahead", "onsets_missed"] == 0 and scores["9 ahead", "onsets_missed_null"] > 0.4


def test_streamed_values_and_lost_frames(found):
    experiment = found[1].condition.experiment
    fitted, recording = experiment.fitted("logistic", 0), experiment.dataset.recordings[2]
    values, card = costs.streamed(fitted, recording, 20)
    assert len(values) == 600 - 12 and costs.as_offline(values, fitted, recording) < 1e-6
    assert card["look_ahead_ms"] == 300 and card["frames"]["missed"] == card["frames"]["overdue"]
    table = costs.losses(fitted, recording, 20, (0.02,), (0, 5), 3).set_index("held frames at most")
    kept = set(timetable(600, 30.0, drop=0.02, seed=3)[0].tolist())
    whole = sum(set(range(k - 12, k + 1)) <= kept for k in range(12, 600))
    assert table.loc[0, "windows decoded (%)"] == pytest.approx(100 * whole / 588)
    assert table.loc[5, "windows decoded (%)"] > 95 and table.loc[0, "mean change"] < 1e-6
    assert table.loc[5, "held"] == 600 - len(kept)
