"""Forelimbs: events, windows and splits against brute force."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

import calcium_decoding as cd
from calcium_decoding.data.recording import Dataset, Recording
from calcium_decoding.errors import DataError
from calcium_decoding.experiments import compare
from calcium_decoding.preprocessing.windows import WindowSet
from decoding_book.chapters.forelimbs import events, splits

WINDOW = cd.WindowSpec(15, 30)


def made(animals=3, days=4, n_frames=1800, seed=0):
    rng = np.random.default_rng(seed)
    recordings = []
    for animal in range(animals):
        for day in range(days):
            moves = np.zeros(n_frames)
            for start in rng.choice(n_frames // 90, 6, replace=False) * 90 + rng.integers(0, 40, 6):
                moves[start:start + 12] = 1
            behaviour = dict.fromkeys(("state_lever", "lick"), moves) | dict.fromkeys(
                [f"{paw}_{axis}_px" for paw in ("rightpaw", "leftpaw") for axis in "xy"], np.cumsum(10 * moves))
            signal = rng.normal(size=(n_frames, 3)) + 3 * np.roll(moves, 3)[:, None]
            recordings.append(Recording(signal, behaviour, 30.0, f"m{animal}", f"2023-01-{2 + 3 * day:02d}",
                                        simulated=True))
    return Dataset("made", tuple(recordings))


def test_pauses_are_filled_and_the_label_says_how_far_it_looks():
    lick = np.zeros(900)
    lick[[50, 60, 75, 92, 200]] = 1
    one = made(1, 1, 900).recordings[0]
    x = np.cumsum(np.where(np.arange(900) == 300, 15.0, 3.3))  # 99 px/s along x, and in one frame as far as in five
    one = replace(one, behaviour=one.behaviour | {"lick": lick, "rightpaw_x_px": x, "rightpaw_y_px": np.zeros(900)})
    found = events.movements(Dataset("one", (one,)), 100).recordings[0]
    expected = np.zeros(900)
    expected[50:76] = expected[92] = expected[200] = 1  # pauses of up to 15 frames belong to the bout
    assert np.array_equal(found.behaviour["lick"], expected)
    assert np.array_equal(np.flatnonzero(found.behaviour["right paw"]), [300, 301, 302])  # the 0.1 s up to the frame
    assert found.reach["lick"] == (15, 15) and found.reach["lever"] == (6, 6) and found.reach["right paw"] == (9, 6)
    with pytest.raises(DataError, match="state_lever"):
        events.movements(Dataset("one", (replace(one, behaviour={"lick": lick}),)), 100)


@pytest.mark.parametrize("window", [WINDOW, cd.WindowSpec(45, 0)])
def test_one_window_an_event_and_quiet_ones_far_from_any(window):
    whole = events.movements(made(), 100)
    found = events.around(whole, "lever", window, quiet_s=2.0)
    for recording, source in zip(found.recordings, whole.recordings, strict=True):
        laid = WindowSet.build([(recording.id, recording.signal, recording.behaviour["lever"],
                                 [*recording.stretches])], window)
        assert len(laid) == len(recording.stretches)
        moves = source.behaviour["lever"]
        starts = [i for i in range(1, len(moves)) if moves[i] and not moves[i - 1]]
        for centre, label in zip(laid.centre, laid.labels, strict=True):
            nearest = min(abs(i - centre) for i in np.flatnonzero(moves))
            assert label == (centre in starts) and (label or nearest > 60)
        taken = np.concatenate([np.arange(*stretch) for stretch in recording.stretches])
        assert len(set(taken)) == len(taken)
        inside = [i for i in starts if window.past_frames <= i < len(moves) - window.future_frames]
        assert laid.labels.sum() == recording.behaviour["lever"].sum() <= len(inside)
    table = events.counts(found, "lever")
    assert table["onsets"].sum() == sum(r.behaviour["lever"].sum() for r in found.recordings)
    assert (table["onsets"] + table["quiet"] == table["windows"]).all()


def test_a_recording_too_short_for_any_window_is_refused():
    with pytest.raises(DataError, match="m0/2023-01-02"):
        events.around(events.movements(made(1, 1, 900), 100), "lever", cd.WindowSpec(0, 900))


def test_feature_is_the_mean_after_less_the_mean_before():
    windows = np.random.default_rng(0).normal(size=(5, 46, 3)).astype(np.float32)
    expected = [[w[15:, roi].mean() - w[:15, roi].mean() for roi in range(3)] for w in windows]
    assert np.allclose(events.after_less_before(windows), expected, atol=1e-6)


def test_the_linear_decoder_finds_what_comes_after_and_nothing_before():
    whole = events.movements(made(days=3), 100)
    scores = []
    for window in (WINDOW, cd.WindowSpec(45, 0)):
        found = events.around(whole, "lever", window)
        experiment = cd.Experiment(found, split="animal_pairs", input=cd.Traces("scaled", window),
                                   task=cd.Binary("lever"), decoders=[events.linear()], n_folds=3)
        scores.append(experiment.run(store=None, jobs=1).table("auc")["value"].mean())
    assert scores[0] > 0.95 and abs(scores[1] - 0.5) < 0.15


def test_windows_with_the_cue_are_left_out_of_its_score():
    whole = events.movements(made(days=3), 100)
    cued = replace(whole, recordings=tuple(replace(r, behaviour=r.behaviour | {"tone": np.roll(
        r.behaviour["lever"], -20)}) for r in whole.recordings))
    experiment = cd.Experiment(cued, split="animal_pairs", input=cd.Traces("scaled", cd.WindowSpec(10, 0, stride=5)),
                               task=cd.Binary("lever"), decoders=[events.linear()], n_folds=3)
    result, = compare.run([compare.Condition("all", experiment, events.linear())], jobs=1)
    assert np.allclose(events.without_cue(result, whole, 10, cue="lick"), np.nan, equal_nan=True)  # moves only with it
    for fold, score in zip(result.folds, events.without_cue(result, cued, 10), strict=True):
        tone = [r.behaviour["tone"] for r in cued.of_animal(fold.animal)]
        keeps = np.array([not tone[i][max(0, c - 10):c + 1].any() for i, c in zip(fold.recording, fold.centre,
                                                                               strict=True)])
        assert score == pytest.approx(roc_auc_score(fold.labels[keeps], fold.predicted[keeps]))
        assert 0 < keeps.sum() < len(keeps)


def test_labelled_minutes_are_those_of_earlier_days_and_the_test_stays_the_same():
    dataset = made()  # sessions of a minute
    laid = {k: splits.new_mouse(dataset, k) for k in (0, 0.5, 2)}
    assert laid[0].claim == "across animals" and laid[2].claim == "across sessions"
    for k, split in laid.items():
        assert [fold.test for fold in split.folds] == [fold.test for fold in laid[0].folds]
        for fold in split.folds:
            own = [s for s in fold.train if s.recording.startswith(fold.test_group)]
            assert sum(map(len, own)) == k * 1800
            assert all(s.recording < fold.test[0].recording for s in own)
            assert fold.valid[0].recording[:2] not in {s.recording[:2] for s in (*fold.train, *fold.test)}
    with pytest.raises(DataError, match="3 min before its last"):
        splits.new_mouse(dataset, 4)


def test_days_apart_are_counted_by_the_calendar():
    dataset = made()
    found = splits.days_apart(dataset)
    assert {gap: len(split.folds) for gap, split in found.items()} == {3: 9, 6: 6, 9: 3}
    for gap, split in found.items():
        for fold in split.folds:
            train, valid, test = (part[0].recording for part in (fold.train, fold.valid, fold.test))
            assert int(test[-2:]) - int(train[-2:]) == gap and len({train, valid, test}) == 3
    assert {len(split.folds) for split in splits.days_apart(dataset, 2).values()} == {2}
