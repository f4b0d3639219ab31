"""Targets against loops over frames, and what they reach against what they change when a frame changes."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calcium_decoding.data.recording import Dataset, Recording
from calcium_decoding.errors import DataError, LeakError, ParameterError
from calcium_decoding.experiments import tasks
from calcium_decoding.experiments.engine import Experiment
from calcium_decoding.experiments.inputs import Traces
from calcium_decoding.experiments.tasks import Binary, Classes, Continuous
from calcium_decoding.preprocessing.windows import WindowSpec


def recording(n=80, seed=0, **behaviour):
    rng = np.random.default_rng(seed)
    behaviour = behaviour or {"run": rng.random(n) > 0.5, "speed_cm_s": rng.gamma(1, 5, n)}
    return Recording(rng.normal(size=(n, 2)), behaviour, 30.0, "a", "s")


@given(frames=st.integers(1, 50), n=st.integers(1, 80))
def test_smoothed_speed_is_the_mean_over_the_frames_it_says(frames, n):
    r = recording(n)
    speed = r.behaviour["speed_cm_s"].astype(float)
    centred = Continuous("speed", smoothing=f"moving_mean_{frames}").target(r)
    causal = Continuous("speed", smoothing=f"causal_{frames}").target(r)
    for i in range(n):
        assert centred[i] == pytest.approx(speed[max(0, i - frames // 2):i + (frames - 1) // 2 + 1].mean(), rel=1e-5)
        assert causal[i] == pytest.approx(speed[max(0, i - frames + 1):i + 1].mean(), rel=1e-5)


def test_the_published_target_covers_15_frames_before_and_14_after():
    speed = np.zeros(100)
    speed[50] = 30.0
    found = Continuous("speed", smoothing="moving_mean_30").target(recording(speed_cm_s=speed, n=100))
    assert np.flatnonzero(found).tolist() == list(range(36, 66)) and found[50] == 1.0


@pytest.mark.parametrize("smoothing", ["none", "moving_mean_30", "moving_mean_7", "causal_30", "causal_1"])
def test_the_declared_reach_is_what_a_changed_frame_changes(smoothing):
    speed = np.random.default_rng(1).gamma(1, 5, 200)
    before = Continuous("speed", smoothing=smoothing).target(recording(200, speed_cm_s=speed))
    speed[100] += 100
    after = Continuous("speed", smoothing=smoothing).target(recording(200, speed_cm_s=speed))
    changed = np.flatnonzero(after != before)
    back, ahead = Continuous("speed", smoothing=smoothing).reach
    assert changed.tolist() == list(range(100 - ahead, 100 + back + 1))


def test_targets_by_name():
    r = recording(4, velocity=np.array([-2.0, 1, 0, 3]), run=np.array([1, 1, 0, 1]))
    assert Binary().target(r).dtype == np.uint8 and Binary().target(r).tolist() == [1, 1, 0, 1]
    assert Continuous("speed").target(r).tolist() == [2, 1, 0, 3]  # there and back count alike
    assert Continuous("velocity").target(r).tolist() == [-2, 1, 0, 3]
    both = recording(4, velocity=np.zeros(4), speed_cm_s=np.ones(4))
    assert Continuous("speed").target(both).tolist() == [1] * 4
    assert [Continuous("speed").unit(Dataset("x", (x,))) for x in (both, r)] == ["cm/s", "the recording's own unit"]
    assert (tasks.task_of("run"), tasks.task_of("velocity")) == (Binary(), Continuous("velocity"))
    assert tasks.task_of("classes:odour") == Classes("odour")
    assert tasks.task_of("x, y", "causal_3") == Continuous("x", "y", smoothing="causal_3")


def test_what_is_not_there_or_has_no_meaning_is_refused():
    r = recording(4, run=np.array([1, 1, 0, 1]))
    with pytest.raises(DataError, match="recording a/s: found behaviour run; expected a speed, in speed_cm_s or veloc"):
        Continuous("speed").target(r)
    with pytest.raises(DataError, match="wheel"):
        Continuous("wheel").target(r)
    with pytest.raises(ParameterError, match="decode speed instead"):
        tasks.task_of("run", "causal_30")
    for bad in ("moving_mean", "causal_0", "median_3", "", "moving_mean_30_x", 30):
        with pytest.raises(ParameterError, match="moving_mean_30 or causal_30"):
            Continuous("speed", smoothing=bad)


def test_the_reach_of_labels_of_ones_own_widens_the_gap_and_the_audit_counts_it(tiny_dataset):
    def blocked(reach):
        return Experiment(tiny_dataset, "blocked", Traces("scaled", WindowSpec(2, 2)), Classes("run", reach=reach),
                          decoders=("logistic",))

    plain, wide = blocked((0, 0)), blocked((6, 9))
    frames = [sum(s.stop - s.start for s in e.split.folds[0].train) for e in (plain, wide)]
    assert frames[1] < frames[0]
    wide.audit()
    with pytest.raises(LeakError):
        replace(wide, split=plain.split).audit()
