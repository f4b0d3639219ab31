"""Frames that cannot be used: no window spans them, and nothing reads what stands there."""

from dataclasses import replace

import numpy as np
import pytest

import calcium_decoding as cd
from calcium_decoding.data.readers import read_npz, write_npz
from calcium_decoding.data.recording import in_both, stretches_of
from calcium_decoding.errors import DataError
from calcium_decoding.evaluation import nulls

SPEC = cd.WindowSpec(3, 3)


def recording(animal="a", session="s", n=400, bad=(), seed=0, **more):
    rng = np.random.default_rng(seed)
    run = (np.sin(np.arange(n) / 20 + seed) > 0).astype(np.uint8)
    signal = (rng.normal(size=(n, 3)) + 2 * run[:, None]).astype(np.float32)
    usable = np.ones(n, bool)
    usable[list(bad)] = False
    signal[~usable] = np.nan
    return cd.Recording(signal, {"run": run}, 20.0, animal, session, stretches=stretches_of(usable), **more)


def test_ranges_in_both_are_those_of_frame_by_frame_reckoning():
    rng = np.random.default_rng(0)
    for _ in range(50):
        one, other = rng.random((2, 60)) > 0.3
        assert in_both(stretches_of(one), stretches_of(other)) == stretches_of(one & other)
    assert in_both([(0, 10), (10, 20)], [(5, 15)]) == ((5, 10), (10, 15))  # a break between neighbours stays one


def test_nan_between_stretches_becomes_the_last_usable_value_and_elsewhere_is_refused():
    r = recording(bad=[0, 5, 6])
    assert np.isfinite(r.signal).all()
    np.testing.assert_array_equal(r.signal[5:7], r.signal[[4, 4]])
    np.testing.assert_array_equal(r.signal[0], r.signal[1])
    signal = r.signal.copy()
    signal[7, 1] = np.nan
    with pytest.raises(DataError, match=r"1 NaN.*frame 7, column 1.*stretches_of"):
        replace(r, signal=signal)
    with pytest.raises(DataError, match=r"the stretch 5 \.\. 500"):
        replace(r, stretches=((5, 500),))
    assert r.content_hash() != replace(r, stretches=()).content_hash()


@pytest.mark.parametrize("regime", ["blocked", "leave_one_session_out", "random_windows"])
def test_no_window_of_any_regime_spans_a_frame_that_cannot_be_used(regime):
    recordings = [recording(session=f"s{i}", bad=[50, 51, 200 + i, 333], seed=i) for i in range(3)]
    dataset = cd.Dataset("mine", recordings)
    experiment = cd.Experiment(dataset, regime, input=cd.Traces("scaled", SPEC), decoders=["logistic"])
    by_id = {r.id: r for r in recordings}
    touched = 0
    for fold in experiment.split.folds:
        for role in ("train", "valid", "test"):
            for segment in getattr(fold, role):
                of = by_id[segment.recording]
                margin = 3 if experiment.split.of_centres else 0
                around = set(range(segment.start - margin, segment.stop + margin))
                assert any(around <= set(range(*stretch)) for stretch in of.stretches)
                touched += len(segment)
    assert touched
    scores = experiment.run(allow_leak=regime == "random_windows").table()
    assert len(scores)
    # A split that was made of the whole recordings comes to the same.
    given = experiment.with_(split=experiment.split)
    assert given.split.hash() == experiment.split.hash()


def test_what_stands_between_stretches_changes_no_score():
    clean = [recording(session=f"s{i}", bad=range(100, 140), seed=i) for i in range(3)]
    rng = np.random.default_rng(9)
    noisy = []
    for r in clean:
        signal = r.signal.copy()
        signal[100:140] = rng.normal(size=(40, 3)) * 100
        noisy.append(replace(r, signal=signal))
    scores = [cd.Experiment(cd.Dataset("mine", some), "leave_one_session_out", input=cd.Traces("scaled", SPEC),
                            decoders=["logistic"]).run().table()["value"].to_numpy() for some in (clean, noisy)]
    np.testing.assert_array_equal(*scores)


def test_nulls_keep_to_frames_that_can_be_used_in_signal_and_behaviour():
    recordings = [recording(session=f"s{i}", bad=[50 + 10 * i], seed=i) for i in range(3)]
    dataset = cd.Dataset("mine", recordings)
    for r in nulls.repair_sessions(dataset, 0).recordings:
        assert len(r.stretches) == 3  # its own gap and that of the behaviour it got
    shifted = nulls.shift_behaviour(dataset, 7).recordings[0]  # frames 100 .. 299: its gap at 50 is cut off
    assert shifted.stretches == ((0, 200),)
    at_zero = nulls.shift_behaviour(cd.Dataset("mine", [recording(bad=[150])]), 7).recordings[0]
    assert at_zero.stretches == ((0, 43), (44, 50), (51, 200))


def test_declared_reach_of_a_behaviour_widens_the_purge_gap_and_stands_in_the_audit():
    dataset = cd.Dataset("mine", [recording()])
    reaching = cd.Dataset("mine", [replace(dataset.recordings[0], reach={"run": (4, 9), "other": (99, 99)})])
    plain, wide = (cd.Experiment(d, "blocked", input=cd.Traces("scaled", SPEC)) for d in (dataset, reaching))
    assert plain.label_reach == (0, 0) and wide.label_reach == (4, 9)
    frames = [sum(len(s) for s in e.split.folds[2].train) for e in (plain, wide)]
    assert frames[0] - frames[1] == 2 * 13


def test_a_file_keeps_times_and_stretches(tmp_path):
    r = recording(bad=[7], times_s=np.arange(400) / 20 + 3.25, reach={"run": (2, 5)})
    write_npz(r, tmp_path / "s.npz")
    back = read_npz(tmp_path / "s.npz")
    assert back.stretches == r.stretches and back.content_hash() == r.content_hash()
    np.testing.assert_array_equal(back.times_s, r.times_s)
    assert back.reach == r.reach
    with pytest.raises(DataError, match="times_s of shape"):
        replace(r, times_s=np.arange(3.0))


def test_a_kept_decoder_leaves_out_frames_that_cannot_be_used(tmp_path):
    recordings = [recording(session=f"s{i}", seed=i) for i in range(3)]
    fitted = cd.Experiment(cd.Dataset("mine", recordings), "leave_one_session_out", decoders=["logistic"],
                           input=cd.Traces("scaled", SPEC)).fitted("logistic")
    table = fitted.predict(recording(session="new", bad=[100], times_s=np.arange(400) / 20 + 5))
    assert not set(range(97, 104)) & set(table["frame"]) and {96, 104} <= set(table["frame"])
    assert table["time_s"].iloc[0] == pytest.approx(5 + 3 / 20)
