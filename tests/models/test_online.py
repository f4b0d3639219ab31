"""Decoders that take one frame at a time: what they are shown, and that a later frame cannot change an answer."""

import numpy as np
import pytest

import calcium_decoding as cd
from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.models.heads import BINARY
from calcium_decoding.models.online import Online
from calcium_decoding.preprocessing.windows import WindowSet, WindowSpec


class Mean:
    """Says the logistic of the mean of the last frames; keeps a diary."""

    def __init__(self, n=3):
        self.n, self.seen, self.diary = n, [], []

    def reset(self, dataset_tags):
        self.seen = []
        self.diary.append(("reset", *dataset_tags))

    def observe(self, observation):
        assert observation.shape[0] == 1
        self.seen = [*self.seen, float(observation.mean())][-self.n:]
        self.diary.append("observe")

    def predict(self, observation):
        self.observe(observation)
        self.diary[-1] = "predict"
        return np.array([[1 / (1 + np.exp(-np.mean(self.seen)))]])

    def on_done(self, dones):
        self.diary.append("done")


def windows_of(signal, ranges, spec):
    return WindowSet.build([(name, x, np.zeros(len(x)), r) for name, x, r in zip("ab", signal, ranges, strict=True)],
                           spec)


def test_frames_come_once_and_in_order_and_a_gap_starts_anew():
    rng = np.random.default_rng(0)
    signal = [rng.normal(size=(20, 2)).astype(np.float32) for _ in range(2)]
    windows = windows_of(signal, [[(0, 6), (10, 14)], [(0, 5)]], WindowSpec(2, 0, stride=2))
    decoder = Online(Mean()).build(2, 2, 3, BINARY, 0)
    found = decoder.decoded(windows)
    for i in range(len(windows)):
        recording, end = windows.recording[i], windows.centre[i]
        first = 0 if recording or end < 10 else 10
        expected = signal[recording][max(first, end - 2) : end + 1].mean(axis=1).mean()
        assert found[i] == pytest.approx(1 / (1 + np.exp(-expected)), rel=1e-5)
    assert decoder.decoder.diary == [("reset", "a"), "observe", "observe", "predict", "observe", "predict", "done",
                                     ("reset", "a"), "observe", "observe", "predict", "done",
                                     ("reset", "b"), "observe", "observe", "predict", "observe", "predict", "done"]


def test_stretches_whose_frames_lie_side_by_side_are_apart_all_the_same():
    signal = np.random.default_rng(0).normal(size=(30, 2)).astype(np.float32)
    spec = WindowSpec(2, 0)
    of = lambda ranges: WindowSet.build([("a", signal, np.zeros(30), ranges)], spec)  # noqa: E731
    both = of([(0, 10), (13, 25)])
    found = Online(Mean(9)).build(2, 2, 3, BINARY, 0).decoded(both)
    alone = [Online(Mean(9)).build(2, 2, 3, BINARY, 0).decoded(of([one])) for one in ((0, 10), (13, 25))]
    np.testing.assert_array_equal(found, np.concatenate(alone))


def test_no_later_frame_changes_an_answer():
    signal = np.random.default_rng(1).normal(size=(40, 2)).astype(np.float32)
    later = signal.copy()
    later[30:] += 9
    one, other = (Online(Mean()).build(2, 2, 3, BINARY, 0).decoded(windows_of([x, x], [[(0, 40)], [(0, 40)]],
                                                                                WindowSpec(2, 0)))
                  for x in (signal, later))
    np.testing.assert_array_equal(one[:28], other[:28])  # windows that end before frame 30
    assert (one[28:38] != other[28:38]).all()


def test_it_is_scored_like_any_other(tiny_dataset):
    e = cd.Experiment(tiny_dataset, "animal_pairs", cd.Traces("raw", cd.WindowSpec(3, 0)), decoders=[Mean(1)])
    results = e.run(jobs=1)
    assert {fold.model for fold in results} == {"Mean"} and results.by_animal()["Mean"].min() > 0.6
    assert e.key(e.split.folds[0], Mean(1)) != e.key(e.split.folds[0], Online(Mean(1), version="2"))


def test_what_lacks_a_method_or_gives_another_shape_is_refused(tiny_dataset):
    with pytest.raises(ParameterError, match="object without reset, predict, observe, on_done"):
        Online(object())
    with pytest.raises(ParameterError, match="give an object"):
        Online(Mean)

    class Wide(Mean):
        def predict(self, observation):
            return np.zeros((1, 2))

    with pytest.raises(DataError, match="decoder Wide: found 2 values"):
        cd.Experiment(tiny_dataset, "animal_pairs", cd.Traces("raw", cd.WindowSpec(3, 0)),
                      decoders=[Wide()]).run(jobs=1)
