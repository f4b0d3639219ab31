"""Windows against loops over frames: none outside its range, none copied, none lost."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.preprocessing.windows import WindowSet, WindowSpec, valid_centres

specs = st.builds(WindowSpec, st.integers(0, 8), st.integers(0, 8), st.integers(1, 5), st.integers(-15, 15))


def counted(n_frames, n_roi=2, offset=0.0):
    """A signal whose values say which frame and ROI they are."""
    return (offset + np.arange(n_frames)[:, None] * 10 + np.arange(n_roi)).astype(np.float32)


def centres_by_loop(start, stop, spec):
    inside = [t for t in range(start, stop)
              if all(start <= i < stop for i in range(t - spec.past_frames, t + spec.future_frames + 1))
              and start <= t + spec.label_shift_frames < stop]
    return inside[::spec.stride]


@given(start=st.integers(0, 50), n_frames=st.integers(0, 60), spec=specs)
def test_centres_are_those_whose_window_and_label_lie_inside(start, n_frames, spec):
    found = valid_centres(start, start + n_frames, spec)
    assert found.dtype == np.int64
    assert found.tolist() == centres_by_loop(start, start + n_frames, spec)


@given(n_frames=st.integers(1, 200), h=st.integers(0, 30), shift=st.integers(-60, 60))
def test_number_of_windows(n_frames, h, shift):
    # From max(h, -s) to T - 1 - max(h, s): T - 2h while the shift is within the window, then T - h - |s|.
    expected = n_frames - 2 * h if abs(shift) <= h else n_frames - h - abs(shift)
    assert len(valid_centres(0, n_frames, WindowSpec(h, h, 1, shift))) == max(0, expected)


def test_published_number_of_windows():
    assert len(valid_centres(0, 18_000, WindowSpec(15, 15))) == 17_970


@given(n_frames=st.integers(1, 60), spec=specs)
def test_frames_needed_is_the_least_that_holds_a_window(n_frames, spec):
    assert (len(valid_centres(0, n_frames, spec)) > 0) == (n_frames >= spec.frames_needed)


@pytest.mark.parametrize("arguments", [(-1, 0), (0, -1), (0, 0, 0), (1.5, 0), ("1", 0), (True, 0),
                                       (0, 0, 1, 0.5)])
def test_spec_refuses_what_is_not_a_whole_number_in_range(arguments):
    with pytest.raises(ParameterError):
        WindowSpec(*arguments)


def test_spec_length_and_look_ahead():
    spec = WindowSpec(15, 15)
    assert spec.length == 31
    assert spec.look_ahead_ms(30.0) == 500
    assert WindowSpec(30, 0).look_ahead_ms(30.0) == 0


gaps_and_lengths = st.lists(st.tuples(st.integers(0, 8), st.integers(1, 40)), min_size=1, max_size=3)


def lay_out(drawn):
    """Ranges that follow each other with the gaps and lengths asked for, and the frames they need."""
    ranges, frame = [], 0
    for gap, length in drawn:
        ranges.append((frame + gap, frame + gap + length))
        frame += gap + length
    return ranges, frame + 3


@settings(deadline=None)
@given(drawn=st.lists(gaps_and_lengths, min_size=1, max_size=3), spec=specs)
def test_window_set_is_what_a_loop_over_ranges_gives(drawn, spec):
    pieces, expected = [], []
    for index, one in enumerate(drawn):
        ranges, n_frames = lay_out(one)
        signal, label = counted(n_frames, 2, 1e4 * index), np.arange(n_frames) + 1000 * index
        pieces.append((f"r{index}", signal, label, ranges))
        for start, stop in ranges:
            for t in centres_by_loop(start, stop, spec):
                expected.append((signal[t - spec.past_frames:t + spec.future_frames + 1],
                                 label[t + spec.label_shift_frames], index, t))
    if not expected:
        with pytest.raises(DataError, match="at least"):
            WindowSet.build(pieces, spec)
        return
    found = WindowSet.build(pieces, spec)
    assert len(found) == len(expected)
    assert found.ids == tuple(piece[0] for piece in pieces)
    windows = found.gather(np.arange(len(found)))
    assert windows.dtype == np.float32
    np.testing.assert_array_equal(windows, np.stack([window for window, *_ in expected]))
    assert found.labels.tolist() == [label for _, label, _, _ in expected]
    assert found.recording.tolist() == [index for _, _, index, _ in expected]
    assert found.centre.tolist() == [t for *_, t in expected]


def one_set(spec=None):
    spec = spec or WindowSpec(2, 1)
    return WindowSet.build([("a", counted(30), np.arange(30), [(0, 30)]),
                            ("b", counted(20, 2, 1e3), np.arange(20), [(2, 18)])], spec)


def test_gather_takes_any_order_and_gives_a_copy():
    windows = one_set()
    every = windows.gather(range(len(windows)))
    chosen = windows.gather([5, 0, 5])
    np.testing.assert_array_equal(chosen, every[[5, 0, 5]])
    assert not np.shares_memory(chosen, windows.frames)
    assert windows.gather([]).shape == (0, 4, 2)


def test_frames_are_stored_once():
    windows = one_set()
    assert windows.frames.shape == (30 + 16, 2)
    longer = one_set(WindowSpec(6, 6))
    assert longer.frames.shape == windows.frames.shape and len(longer) < len(windows)


def test_frames_outside_the_ranges_are_not_kept():
    windows = WindowSet.build([("a", counted(30), np.arange(30), [(10, 20)])], WindowSpec(1, 1))
    np.testing.assert_array_equal(windows.frames, counted(30)[10:20])


def test_label_type_is_kept():
    label = np.zeros(30, dtype=np.uint8)
    assert WindowSet.build([("a", counted(30), label, [(0, 30)])], WindowSpec(1, 1)).labels.dtype == np.uint8


def test_no_window_possible_says_frames_found_and_needed():
    with pytest.raises(DataError, match=r"at most 30 frames.*at least 31 "):
        WindowSet.build([("a", counted(40), np.arange(40), [(0, 30), (31, 40)])], WindowSpec(15, 15))
    with pytest.raises(DataError, match="at least"):
        WindowSet.build([], WindowSpec(15, 15))


def test_range_too_short_is_left_out_beside_one_that_is_long_enough():
    windows = WindowSet.build([("a", counted(50), np.arange(50), [(0, 3), (10, 50)])], WindowSpec(5, 5))
    assert windows.centre.tolist() == list(range(15, 45))


@pytest.mark.parametrize("pieces, message", [
    ([("a", counted(30), np.arange(30), [(0, 30)]), ("b", counted(9, 3), np.arange(9), [(0, 9)])], "3 ROIs"),
    ([("a", counted(2), np.arange(2), [(0, 2)]), ("b", counted(9, 3), np.arange(9), [(0, 9)])], "3 ROIs"),
    ([("a", counted(30), np.arange(29), [(0, 30)])], "labels of shape"),
    ([("a", counted(30), np.arange(30), [(0, 31)])], "range 0 .. 31"),
    ([("a", counted(30), np.arange(30), [(-1, 20)])], "range -1"),
    ([("a", counted(30), np.arange(30), [(0, 20), (19, 30)])], "overlap"),
    ([("a", counted(30), np.arange(30), [(0, 10)]), ("a", counted(30), np.arange(30), [(10, 30)])], "twice"),
])
def test_pieces_that_do_not_fit_are_refused(pieces, message):
    with pytest.raises(DataError, match=message):
        WindowSet.build(pieces, WindowSpec(1, 1))


@settings(deadline=None)
@given(drawn=st.lists(gaps_and_lengths, min_size=1, max_size=3), spec=specs, gap=st.integers(0, 3))
def test_windows_over_one_array_are_those_that_are_built(drawn, spec, gap):
    pieces, stretches, first, row = [], [], [], gap
    for index, one in enumerate(drawn):
        ranges, n_frames = lay_out(one)
        signal = counted(n_frames, 2, 1e4 * index)
        pieces.append((f"r{index}", signal, np.arange(n_frames), ranges))
        stretches += [np.full((gap, 2), -1, np.float32), signal]
        first.append(row)
        row += n_frames + gap
    frames = np.concatenate(stretches)
    mapped = [(name, at, label, ranges) for (name, _, label, ranges), at in zip(pieces, first, strict=True)]
    try:
        built = WindowSet.build(pieces, spec)
    except DataError:
        with pytest.raises(DataError, match="at least"):
            WindowSet.over(frames, mapped, spec)
        return
    over = WindowSet.over(frames, mapped, spec)
    assert over.frames is frames  # nothing copied
    every = np.arange(len(built))
    np.testing.assert_array_equal(over.gather(every), built.gather(every))
    for name in ("labels", "recording", "centre"):
        np.testing.assert_array_equal(getattr(over, name), getattr(built, name))
    assert (over.ids, over.spec) == (built.ids, built.spec)


@pytest.mark.parametrize(("pieces", "message"), [
    ([("a", 0, np.arange(31), [(0, 30)])], "rows 0 .. 31"),
    ([("a", -1, np.arange(30), [(0, 30)])], "rows -1 .. 29"),
    ([("a", 0, np.arange(20), [(0, 21)])], "range 0 .. 21"),
    ([("a", 0, np.arange(20), [(0, 15), (10, 20)])], "overlap"),
    ([("a", 0, np.arange(10), [(0, 10)]), ("a", 10, np.arange(10), [(0, 10)])], "twice"),
    ([], "at least"),
])
def test_pieces_that_do_not_lie_in_the_frames_are_refused(pieces, message):
    with pytest.raises(DataError, match=message):
        WindowSet.over(counted(30), pieces, WindowSpec(1, 1))


def test_some_windows_share_the_frames_and_keep_their_places():
    spec = WindowSpec(1, 1)
    windows = WindowSet.build([("a", counted(9), np.arange(9), [(0, 9)]), ("b", counted(6), np.arange(6), [(1, 6)])],
                              spec)
    for which in (slice(None, None, 4), [1, 8], np.arange(len(windows)) > 6):
        some, picked = windows.some(which), np.arange(len(windows))[which]
        assert some.frames is windows.frames and len(some) == len(picked)
        np.testing.assert_array_equal(some.gather(range(len(some))), windows.gather(picked))
        for name in ("labels", "recording", "centre"):
            np.testing.assert_array_equal(getattr(some, name), getattr(windows, name)[picked])
