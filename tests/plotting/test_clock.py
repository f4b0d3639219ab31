"""The figure of a clock: every frame is drawn where it is, faults in red, simulated times say so."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

import calcium_decoding as cd
from calcium_decoding import plotting
from calcium_decoding.plotting import alt_text
from calcium_decoding.plotting.style import WARNING
from calcium_decoding.simulation import plant_clock

RATE = 30.0


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def words(ax):
    return [text.get_text() for text in ax.texts]


def test_missing_and_repeated_frames_are_marked_and_each_step_drawn_once():
    clock = plant_clock(2000, RATE, dropped=0.01, repeated=3)
    _, ax = plt.subplots()
    plotting.clock_steps(clock.times_s, RATE, ax, True)
    usual, missing, repeated = ax.lines[:3]
    assert len(usual.get_xdata()) + len(missing.get_xdata()) + len(repeated.get_xdata()) == len(clock.times_s) - 1
    assert missing.get_color() == repeated.get_color() == WARNING
    at = np.flatnonzero(np.diff(clock.frame) > 1) + 1
    np.testing.assert_allclose(missing.get_xdata(), clock.times_s[at])
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert "20 frames missing" in labels and "3 repeated" in labels and "simulated" in words(ax)


def test_drift_is_drawn_by_what_it_is_though_frames_are_missing():
    clock = plant_clock(6000, RATE, dropped=0.01, drift_ppm=200, jitter=0)
    _, ax = plt.subplots()
    plotting.clock_drift(clock.times_s, RATE, ax, True, clock.ttl_s)
    frames, ttl = ax.lines
    np.testing.assert_allclose(frames.get_ydata(), 1000 * 2e-4 * clock.frame / RATE, atol=1e-6)
    np.testing.assert_allclose(ttl.get_ydata(), 0, atol=1e-6)
    assert "times of frames: +200 ppm" in frames.get_label() and "TTL pulses: +0 ppm" in ttl.get_label()


def test_coverage_has_a_bar_where_each_behaviour_was_known():
    at = np.r_[2:8:0.01, 12:16:0.01]
    behaviour = [cd.Series("speed", at, at), cd.Series("lick", [3, 4], span_s=(1, 9)), cd.Series("cue", [3.0]),
                 cd.Series("lost", [1, 2], [np.nan, np.nan])]
    figure = plotting.clock_figure(np.arange(600) / RATE, RATE, behaviour=behaviour, simulated=False)
    ax = figure.axes[2]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["frames", "speed", "lick", "cue", "lost"]
    bars = [[(box.x0, box.x1) for path in c.get_paths() for box in [path.get_extents()]] for c in ax.collections]
    assert [len(each) for each in bars[:3]] == [1, 2, 1] and sum(map(len, bars)) == 4
    np.testing.assert_allclose(bars[1], [(2, 7.99), (12, 15.99)])
    assert "simulated" not in words(ax) and "speed" in alt_text.describe(figure)


def test_a_recording_brings_its_clock_and_says_itself_whether_it_is_simulated():
    clock = plant_clock(900, RATE, restart_at=300)
    figure = plotting.clock_figure(clock.times_s, RATE, simulated=True)
    assert all("simulated" in words(ax) for ax in figure.axes)
    assert len(figure.axes[1].lines) == 2  # a line for each run of the clock
    r = cd.Recording(np.zeros((900, 1)), {}, RATE, "a", "s", simulated=True)
    assert "simulated" in words(plotting.clock_figure(r).axes[0])
    with pytest.raises(TypeError, match="simulated=True or False"):
        plotting.clock_figure(clock.times_s, RATE)
