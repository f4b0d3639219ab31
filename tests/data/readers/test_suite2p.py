"""suite2p folders, as NumPy writes them, and the real sample."""

import shutil

import numpy as np
import pytest

import calcium_decoding as cd
from calcium_decoding.data import readers
from calcium_decoding.data.readers import read_suite2p
from calcium_decoding.errors import DataError, ParameterError

ABOUT = {"rate_hz": 10.0, "animal": "m1", "session": "d1"}
N, T = 5, 40
IS_CELL = np.array([1, 0, 0, 1, 1])


class Bomb:
    """What a pickle can do."""

    def __reduce__(self):
        return (exit, ("a pickle was loaded",))


@pytest.fixture
def plane(tmp_path):
    """A plane folder whose ops and stat end the process if they are loaded."""
    return written(tmp_path / "m1" / "d1" / "suite2p" / "plane0")


def written(folder, n=N, t=T, seed=0, is_cell=IS_CELL):
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    for name in ("F", "Fneu", "spks"):
        np.save(folder / f"{name}.npy", rng.random((n, t), np.float32))
    np.save(folder / "iscell.npy", np.stack([is_cell, rng.random(n)], axis=1))
    for name in ("ops", "stat"):
        np.save(folder / f"{name}.npy", np.array([Bomb()]), allow_pickle=True)
    return folder


def load(folder, name):
    return np.load(folder / f"{name}.npy").T


@pytest.mark.parametrize("above", [0, 1, 2])
def test_cells_less_neuropil_time_first(plane, above):
    folder = [plane, plane.parent, plane.parent.parent][above]
    recording = read_suite2p(folder, **ABOUT)
    expected = load(plane, "F")[:, [0, 3, 4]] - np.float32(0.7) * load(plane, "Fneu")[:, [0, 3, 4]]
    np.testing.assert_array_equal(recording.signal, expected)
    assert recording.signal.shape == (T, 3) and recording.roi_names == ("0", "3", "4")
    assert recording.notes == ("iscell applied: 3 of 5 ROIs are cells", "F - 0.7 Fneu")
    assert recording.id == "m1/d1" and recording.rate_hz == 10.0


def test_all_rois_raw_or_deconvolved(plane):
    raw = read_suite2p(plane, **ABOUT, neuropil=0, cells_only=False)
    np.testing.assert_array_equal(raw.signal, load(plane, "F"))
    assert "iscell not applied: all 5 ROIs, of which 3 are cells" in raw.notes and "not subtracted" in raw.notes[-1]
    (plane / "iscell.npy").unlink()
    events = read_suite2p(plane, **ABOUT, signal="spks", cells_only=False)
    np.testing.assert_array_equal(events.signal, load(plane, "spks"))
    assert "look-ahead" in events.notes[-1] and "sorted by nobody" in events.notes[0]
    with pytest.raises(DataError, match=r"iscell\.npy.*cells_only=False"):
        read_suite2p(plane, **ABOUT)
    with pytest.raises(ParameterError, match="dF"):
        read_suite2p(plane, **ABOUT, signal="dF")


def test_planes_in_order_of_their_numbers(plane):
    folder = plane.parent
    for i in (10, 2):
        written(folder / f"plane{i}", seed=i, is_cell=np.array([0, 0, 0, 0, 1]))
    recording = read_suite2p(folder, **ABOUT, neuropil=0)
    assert recording.roi_names == ("plane0_0", "plane0_3", "plane0_4", "plane2_4", "plane10_4")
    np.testing.assert_array_equal(recording.signal[:, 4], load(folder / "plane10", "F")[:, 4])
    assert "plane2: iscell applied: 1 of 5 ROIs are cells" in recording.notes
    assert any("lag" in note for note in recording.notes)
    (only,) = readers.read("suite2p", folder.parents[2], rate_hz=10.0).recordings  # one recording, not one a plane
    assert only.id == "m1/d1" and only.n_roi == 5


def test_planes_of_different_length_are_refused(plane):
    written(plane.parent / "plane1", t=T - 1)
    with pytest.raises(DataError, match="plane0 40, plane1 39"):
        read_suite2p(plane.parent, **ABOUT)


def test_a_folder_of_sessions_and_one_plane(plane):
    written(plane.parents[2] / "d.2" / "suite2p" / "plane0")
    written(plane.parents[2] / "d.2" / "suite2p" / "combined")
    dataset = readers.read("suite2p", plane.parents[3], rate_hz=10.0)
    assert [one.id for one in dataset.recordings] == ["m1/d.2", "m1/d1"]
    (one,) = readers.read("suite2p", plane, **ABOUT).recordings
    assert one.id == "m1/d1" and one.n_roi == 3


def test_what_does_not_fit_is_refused(plane):
    shutil.copytree(plane, plane.parents[1] / "x" / "plane0")
    other = plane.parents[1] / "x" / "plane0"
    np.save(other / "Fneu.npy", np.zeros((N, T + 1), np.float32))
    with pytest.raises(DataError, match=r"\(5, 40\) and Fneu\.npy of shape \(5, 41\)"):
        read_suite2p(other, **ABOUT)
    np.save(other / "iscell.npy", np.ones((N - 1, 2)))
    with pytest.raises(DataError, match=r"5 ROIs in F\.npy and 4 in iscell"):
        read_suite2p(other, **ABOUT, neuropil=0)
    np.save(other / "iscell.npy", np.zeros((N, 2)))
    with pytest.raises(DataError, match="0 of 5 ROIs"):
        read_suite2p(other, **ABOUT, neuropil=0)
    (other / "Fneu.npy").unlink()
    with pytest.raises(DataError, match=r"Fneu\.npy: found no such file"):
        read_suite2p(other, **ABOUT)
    (other.parent / "Fall.mat").touch()
    (other / "F.npy").unlink()
    for path in (plane / "Fall.mat", other.parent):
        with pytest.raises(DataError, match="older than what was sorted by hand"):
            read_suite2p(path, **ABOUT)
    for share in (70, np.nan):
        with pytest.raises(ParameterError, match="share of Fneu"):
            read_suite2p(plane, **ABOUT, neuropil=share)
    with pytest.raises(DataError, match=r"no F\.npy"):
        read_suite2p(plane.parents[2], **ABOUT)


def test_frames_that_suite2p_lost_are_refused_or_named(plane):
    recording = read_suite2p(plane, **ABOUT)
    times = np.arange(T + 3) / recording.rate_hz
    with pytest.raises(DataError, match=rf"{T} frames and {T + 3} times.*drop_frames"):
        cd.with_times(recording, times)
    timed = cd.with_times(recording, times, drop_frames=[5, 6, 20])
    assert timed.stretches == ((0, 5), (5, 18), (18, T)) and timed.times_s[5] == times[7]


def test_a_pickle_in_place_of_traces_is_refused_unopened(plane):
    shutil.copy(plane / "ops.npy", plane / "F.npy")
    with pytest.raises(DataError, match=r"F\.npy"):
        read_suite2p(plane, **ABOUT)


def test_the_real_sample(real_data_dir):
    folder = real_data_dir / "suite2p_sample"
    if not folder.is_dir():
        pytest.skip("suite2p_sample is not in the data directory")
    recording = read_suite2p(folder, **ABOUT)
    assert recording.signal.shape == (2000, 20) and recording.notes[0] == "iscell applied: 20 of 219 ROIs are cells"
    i = int(recording.roi_names[7])
    expected = load(folder / "plane0", "F")[:, i] - 0.7 * load(folder / "plane0", "Fneu")[:, i]
    np.testing.assert_allclose(recording.signal[:, 7], expected, rtol=1e-5, atol=1e-3)
