"""Files as CaImAn, Inscopix, Minian and wfield leave them, and extractors of roiextractors."""

import json
import pickle
import sys

import h5py
import numpy as np
import pytest

from calcium_decoding.data import readers
from calcium_decoding.data.readers import (
    read_caiman,
    read_inscopix,
    read_minian,
    read_wfield,
    read_with_roiextractors,
)
from calcium_decoding.errors import DataError, ParameterError

NAMES = {"animal": "m1", "session": "d1"}
ABOUT = {"rate_hz": 20.0, **NAMES}
N, T = 4, 50
RNG = np.random.default_rng(0)
TRACES = RNG.normal(size=(N, T))
SIGNAL = TRACES.T.astype(np.float32)


# CaImAn


def caiman(path, accepted=(3, 0, 2), fr=30.0, **arrays):
    """As CaImAn saves: what was not computed is the text NoneType."""
    with h5py.File(path, "w") as file:
        for name, values in {"C": TRACES, "S": TRACES * 2, "F_dff": None, "idx_components": accepted, **arrays}.items():
            file[f"estimates/{name}"] = "NoneType" if values is None else np.asarray(values)
        file["params/data/fr"] = fr
    return path


def test_caiman_keeps_the_order_of_the_file(tmp_path):
    path = caiman(tmp_path / "a.hdf5")
    recording = read_caiman(path, **ABOUT)
    np.testing.assert_array_equal(recording.signal, SIGNAL[:, [0, 2, 3]])
    assert recording.roi_names == ("0", "2", "3") and recording.rate_hz == 20.0
    assert recording.notes == ("CaImAn C", "the file states 30 Hz, 20 Hz were given",
                               "idx_components applied: 3 of 4 ROIs are cells")
    np.testing.assert_array_equal(read_caiman(path, **ABOUT, which="S", cells_only=False).signal, SIGNAL * 2)
    with pytest.raises(DataError, match=r"a\.hdf5: found no estimates/F_dff, but C, S"):
        read_caiman(path, **ABOUT, which="F_dff")
    with pytest.raises(ParameterError, match="YrA"):
        read_caiman(path, **ABOUT, which="YrA")


def test_caiman_without_a_choice_of_components_says_so(tmp_path):
    recording = read_caiman(caiman(tmp_path / "a.hdf5", None, 20.0, F_dff=TRACES), **ABOUT, which="F_dff")
    assert recording.notes == ("CaImAn F_dff (the baseline of dF/F looks ahead)", "no idx_components: all 4 components")
    assert recording.signal_unit == "dF/F" and recording.n_roi == N


def test_caiman_refuses_what_does_not_fit(tmp_path):
    with pytest.raises(DataError, match="2 idx_components, 1 of them"):
        read_caiman(caiman(tmp_path / "a.hdf5", [1, 9]), **ABOUT)
    with pytest.raises(DataError, match="0 of 4 ROIs"):
        read_caiman(caiman(tmp_path / "b.hdf5", np.array([], int)), **ABOUT)
    with pytest.raises(DataError, match=r"C of shape \(50, 4\) with 4 components in A"):
        read_caiman(caiman(tmp_path / "t.hdf5", C=SIGNAL, **{"A/shape": [H * W, N]}), **ABOUT)
    assert read_caiman(caiman(tmp_path / "u.hdf5", **{"A/shape": [H * W, N]}), **ABOUT).n_roi == 3
    assert read_caiman(caiman(tmp_path / "v.hdf5", A=np.ones((H * W, N))), **ABOUT).n_roi == 3
    (tmp_path / "c.hdf5").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"c\.hdf5"):
        read_caiman(tmp_path / "c.hdf5", **ABOUT)


def test_caiman_files_of_a_folder(tmp_path):
    (tmp_path / "m1").mkdir()
    caiman(tmp_path / "m1" / "d.1.hdf5")
    assert [one.id for one in readers.read("caiman", tmp_path, rate_hz=20.0).recordings] == ["m1/d.1"]


# Inscopix

STATES = ("accepted", "rejected", "undecided", "accepted")


def inscopix(path, times=None, states=STATES, blank=(), values=TRACES):
    times = 0.05 * np.arange(T) if times is None else times
    rows = [[f"{time:.6f}", *(f"{value:.6f}" for value in row)] for time, row in zip(times, values.T, strict=True)]
    for row, column in blank:
        rows[row][column + 1] = ""
    heads = [" ", *(f" C{i:02}" for i in range(N))], ["Time(s)/Cell Status", *(f" {state}" for state in states)]
    path.write_text("\n".join(",".join(row) for row in (*heads, *rows)) + "\n")
    return path


def test_inscopix_leaves_rejected_cells_out(tmp_path):
    path = inscopix(tmp_path / "a.csv")
    recording = read_inscopix(path, **NAMES)
    np.testing.assert_allclose(recording.signal, SIGNAL[:, [0, 2, 3]], atol=1e-6)
    assert recording.roi_names == ("C00", "C02", "C03") and recording.rate_hz == 20.0
    assert recording.notes[0] == ("cell status applied: 3 of 4 ROIs are cells: 2 accepted, 1 rejected, 1 undecided")
    assert read_inscopix(path, **NAMES, cells_only=False).n_roi == N


def test_inscopix_blanks_and_gaps_are_masked(tmp_path):
    times = 100 + 0.05 * np.arange(T)
    times[30:] += 0.2
    recording = read_inscopix(inscopix(tmp_path / "a.csv", times, blank=[(10, 0), (11, 3)]), **NAMES)
    assert recording.stretches == ((0, 10), (12, 30), (30, T)) and recording.times_s[0] == 100
    assert "2 of 50 frames with NaN or infinite values masked" in recording.notes
    assert any("4 frames missing" in note for note in recording.notes)


def test_inscopix_refuses_what_is_no_such_table(tmp_path):
    with pytest.raises(DataError, match="Cell Status, maybe"):
        read_inscopix(inscopix(tmp_path / "a.csv", states=("maybe", *STATES[1:])), **NAMES)
    with pytest.raises(DataError, match="0 of 4 ROIs"):
        read_inscopix(inscopix(tmp_path / "b.csv", states=["rejected"] * 4), **NAMES)
    path = inscopix(tmp_path / "c.csv")
    path.write_text(path.read_text().replace("Time(s)", "Frame"))
    with pytest.raises(DataError, match=r"c\.csv: found a second row with Frame"):
        read_inscopix(path, **NAMES)
    path = inscopix(tmp_path / "d.csv")
    path.write_text(path.read_text().replace(f"{TRACES[2, 7]:.6f}", "lost"))
    with pytest.raises(DataError, match="text in the column C02"):
        read_inscopix(path, **NAMES)


# Minian


def minian(folder, which="C", values=TRACES, dims=("unit_id", "frame"), frames=None, version=2):
    zarr = pytest.importorskip("zarr")
    group = zarr.open_group(folder, mode="w", zarr_format=version)
    frames = np.arange(T) if frames is None else frames
    for name, data, axes in ((which, values, dims), ("unit_id", np.arange(N) * 10 + 3, ["unit_id"]),
                             ("frame", frames, ["frame"])):
        more = {"dimension_names": axes} if version == 3 else {}
        array = group.create_array(name, data=np.asarray(data), **more)
        if version == 2 and axes is not None:
            array.attrs["_ARRAY_DIMENSIONS"] = list(axes)
    return folder


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("turned", [False, True])
def test_minian_by_the_names_of_its_axes(tmp_path, version, turned):
    minian(tmp_path / "C.zarr", values=TRACES.T if turned else TRACES, version=version,
           dims=("frame", "unit_id") if turned else ("unit_id", "frame"))
    for folder in (tmp_path, tmp_path / "C.zarr"):
        recording = read_minian(folder, **ABOUT)
        np.testing.assert_array_equal(recording.signal, SIGNAL)
        assert recording.roi_names == ("3", "13", "23", "33") and recording.notes == ("Minian C",)


def test_minian_frames_that_are_missing_are_a_gap(tmp_path):
    recording = read_minian(minian(tmp_path / "C.zarr", frames=np.r_[:20, 25:T + 5]), **ABOUT)
    assert recording.stretches == ((0, 20), (20, T)) and recording.times_s[20] == 25 / 20


def test_minian_axes_that_are_not_sure_are_refused(tmp_path):
    square = TRACES[:, :N]
    minian(tmp_path / "C.zarr", values=square, dims=None, frames=np.arange(N))
    with pytest.raises(DataError, match="axes not named"):
        read_minian(tmp_path, **ABOUT)
    minian(tmp_path / "C.zarr", values=TRACES[:, :-1])
    with pytest.raises(DataError, match=r"\(4, 49\), 4 units, 50 frames"):
        read_minian(tmp_path, **ABOUT)
    with pytest.raises(DataError, match="and no S"):
        read_minian(tmp_path / "C.zarr", **ABOUT, which="S")


class Bomb:
    """What a pickle can do."""

    def __reduce__(self):
        return (exit, ("a pickle was loaded",))


@pytest.mark.parametrize("place", ["filters", "compressor"])
def test_minian_never_opens_a_pickle(tmp_path, place):
    folder, codec = minian(tmp_path / "C.zarr"), {"id": "pickle", "protocol": 5}
    for chunk in (folder / "C").glob("[0-9]*"):
        chunk.write_bytes(pickle.dumps(Bomb()))
    mark = folder / "C" / ".zarray"
    about = {**json.loads(mark.read_text()), place: [codec] if place == "filters" else codec}
    mark.write_text(json.dumps(about))
    with pytest.raises(DataError, match=r"C\.zarr"):
        read_minian(tmp_path, **ABOUT)


def test_minian_folders_of_sessions(tmp_path):
    for which in ("C", "S", "A"):
        minian(tmp_path / "m1" / "d1" / "minian" / f"{which}.zarr", which)
    (found,) = readers.read("minian", tmp_path, rate_hz=20.0).recordings
    assert found.id == "m1/d1" and found.notes == ("Minian C",)


def test_without_zarr(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(DataError, match=r"zarr.*calcium-decoding\[formats\]"):
        read_minian(tmp_path, **ABOUT)


# wfield

H, W, K = 6, 7, 3


def wfield(folder, u=None):
    folder.mkdir(exist_ok=True)
    u = RNG.normal(size=(H, W, K)).astype(np.float32) if u is None else u
    svt = RNG.normal(size=(K, T)).astype(np.float32)
    np.save(folder / "U.npy", u)
    np.save(folder / "SVT.npy", svt)
    return u, svt


def test_wfield_is_the_mean_of_the_movie_over_each_mask(tmp_path):
    u, svt = wfield(tmp_path)
    movie = u.astype(float) @ svt  # (height, width, time): what U and SVT stand for
    labels = RNG.integers(0, 4, (H, W)) * 5
    recording = read_wfield(tmp_path, **ABOUT, masks=labels)
    assert recording.roi_names == ("5", "10", "15")
    for i, label in enumerate((5, 10, 15)):
        np.testing.assert_allclose(recording.signal[:, i], movie[labels == label].mean(axis=0), rtol=1e-4, atol=1e-5)
    np.save(tmp_path / "masks.npy", np.stack([labels == 5, labels > 5]))
    with h5py.File(tmp_path / "masks.h5", "w") as file:
        file["left/M1"], file["right/M1"] = labels == 5, labels > 5
    for name, expected in (("masks.npy", ("1", "2")), ("masks.h5", ("left/M1", "right/M1"))):
        found = read_wfield(tmp_path, **ABOUT, masks=tmp_path / name)
        np.testing.assert_allclose(found.signal[:, 1], movie[labels > 5].mean(axis=0), rtol=1e-4, atol=1e-5)
        assert found.roi_names == expected
    np.save(tmp_path / "U.npy", u.reshape(-1, K))
    np.testing.assert_array_equal(read_wfield(tmp_path, **ABOUT, masks=labels).signal, recording.signal)


def test_wfield_pixels_without_values_are_left_out_and_said(tmp_path):
    u, svt = wfield(tmp_path)
    u[0, 0] = np.nan
    np.save(tmp_path / "U.npy", u)
    mask = np.zeros((2, H, W), bool)
    mask[0, :2], mask[1, 0, 0] = True, True
    recording = read_wfield(tmp_path, **ABOUT, masks=mask[:1])
    expected = (u.astype(float) @ svt)[:2].reshape(-1, T)[1:].mean(axis=0)
    np.testing.assert_allclose(recording.signal[:, 0], expected, rtol=1e-4, atol=1e-5)
    assert "1 pixels of masks without values left out" in recording.notes
    with pytest.raises(DataError, match="0 pixels of the ROI '2'"):
        read_wfield(tmp_path, **ABOUT, masks=mask)


def test_wfield_refuses_masks_of_another_frame(tmp_path):
    wfield(tmp_path)
    with pytest.raises(DataError, match=r"U of shape \(6, 7, 3\).*masks \(1, 7, 6\)"):
        read_wfield(tmp_path, **ABOUT, masks=np.ones((1, W, H), bool))
    with pytest.raises(DataError, match="no masks"):
        read_wfield(tmp_path, **ABOUT)
    with pytest.raises(DataError, match="no ROI in the masks"):
        read_wfield(tmp_path, **ABOUT, masks=np.zeros((H, W), int))
    with pytest.raises(DataError, match=r"SVTcorr\.npy"):
        read_wfield(tmp_path, **ABOUT, masks=np.ones((1, H, W)), components="SVTcorr.npy")


def test_wfield_with_the_real_masks(tmp_path, real_data_dir):
    path = real_data_dir / "allen_ccf_masks" / "AllenCCF_masks.h5"
    if not path.is_file():
        pytest.skip("allen_ccf_masks is not in the data directory")
    u = np.zeros((512, 512, 2), np.float32)
    u[..., 0], u[..., 1] = np.indices((512, 512))
    _, svt = wfield(tmp_path, u)
    np.save(tmp_path / "SVT.npy", svt[:2])
    recording = read_wfield(tmp_path, **ABOUT, masks=path)
    assert recording.n_roi == 44 and recording.roi_names[:2] == ("001", "002")
    with h5py.File(path) as file:
        centre = np.argwhere(file["masks/007"][()]).mean(axis=0)
    np.testing.assert_allclose(recording.signal[:, 6], centre @ svt[:2], rtol=1e-4)


# roiextractors


def extractor(**options):
    testing = pytest.importorskip("roiextractors.testing")
    return testing.generate_dummy_segmentation_extractor(num_rois=5, num_samples=60, **options)


def test_an_extractor_is_read(tmp_path):
    source = extractor(rejected_list=["roi_1"])
    recording = read_with_roiextractors(source, **NAMES, which="dff")
    accepted = np.asarray(source.get_property("is_accepted", source.get_roi_ids()), bool)
    assert 0 < accepted.sum() < 5
    np.testing.assert_array_equal(recording.signal, source.get_traces(name="dff")[:, accepted].astype(np.float32))
    assert recording.rate_hz == 30.0 and f"is_accepted applied: {accepted.sum()} of 5 ROIs are cells" in recording.notes
    assert read_with_roiextractors(source, **NAMES, cells_only=False).roi_names == tuple(source.get_roi_ids())
    with pytest.raises(DataError, match="no traces 'nothing'"):
        read_with_roiextractors(source, **NAMES, which="nothing")


def test_the_clock_of_an_extractor_is_kept():
    source = extractor()
    times = 7 + np.arange(60) / 30 + (np.arange(60) >= 40)
    source.set_times(times)
    recording = read_with_roiextractors(source, **NAMES)
    np.testing.assert_array_equal(recording.times_s, times)
    assert recording.stretches == ((0, 40), (40, 60))
