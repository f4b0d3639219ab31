"""Recordings with footsteps: files written as the authors document them, and everything that can be wrong with them."""

import h5py
import numpy as np
import openpyxl
import pytest
import yaml
from scipy.io import savemat

from calcium_decoding.data import readers
from calcium_decoding.data.readers.footsteps import NO_ANIMAL, frame_labels, read_step_table
from calcium_decoding.errors import DataError, ParameterError

T, CELLS = 60, 7
STEPS = [("R", 3, 6), ("L", 8, 10), ("R", 12, 16), ("L", 20, 20)]
SIGNAL = np.random.default_rng(0).gamma(1.0, 1.0, (T, CELLS))


def sheet(path, rows, columns=("Foot", "Frame Start", "Frame End")):
    book = openpyxl.Workbook()
    book.active.append(columns)
    for row in rows:
        book.active.append(row)
    book.save(path)
    return path


def traces(path, signal=SIGNAL, version="5", **more):
    variables = {"DeconvMat_wanted": signal, "deltaf_cells_not_excluded": 2 * signal, **more}
    if version == "5":
        savemat(path, variables)
        return path
    with h5py.File(path, "w", userblock_size=512) as file:  # as MATLAB 7.3 writes: transposed, with its class
        for name, values in variables.items():
            file.create_dataset(name, data=np.asarray(values).T).attrs["MATLAB_class"] = np.bytes_("double")
    return path


def footstep_csv(path, signal=SIGNAL, label=None, first=0):
    label = np.zeros(len(signal), int) if label is None else label
    names = ["frame", *(f"neuron_{i}" for i in range(signal.shape[1])), "label"]
    rows = [",".join(map(str, [first + t, *signal[t], label[t]])) for t in range(len(signal))]
    path.write_text("\n".join([",".join(names), *rows]) + "\n")
    return path


@pytest.fixture
def folder(tmp_path):
    """Two recordings of one mouse."""
    place = tmp_path / "steps" / "mouse 1"
    place.mkdir(parents=True)
    for name in ("002", "003"):
        traces(place / f"{name}.mat")
        sheet(place / f"{name}.xlsx", STEPS)
    return place.parent


def expected_label():
    label = np.zeros(T)
    label[3:7] = label[12:17] = 1
    label[8:11] = label[20] = 2
    return label


# What is read


@pytest.mark.parametrize("version", ["5", "7.3"])
def test_traces_with_a_step_table(folder, version):
    traces(folder / "mouse 1" / "002.mat", version=version)
    dataset = readers.read("footsteps", folder)
    assert [r.id for r in dataset.recordings] == ["mouse 1/002", "mouse 1/003"] and dataset.animals == ("mouse 1",)
    recording = dataset.recordings[0]
    assert recording.signal == pytest.approx(SIGNAL) and recording.rate_hz == 15 and not recording.notes
    assert np.array_equal(recording.behaviour["footstep"], expected_label())
    assert recording.behaviour["footstep"].dtype == np.float32 and "run" not in recording.behaviour


def test_fluorescence_instead_of_the_deconvolved_traces(folder):
    recording = readers.read("footsteps", folder, trace="dff").recordings[0]
    assert recording.signal == pytest.approx(2 * SIGNAL) and recording.signal_unit == "dF/F"


def test_the_other_hemisphere_swaps_the_feet(folder):
    recording = readers.read("footsteps", folder, contralateral="left").recordings[0]
    assert np.array_equal(recording.behaviour["footstep"], np.array([0, 2, 1])[expected_label().astype(int)])


def test_tables_that_count_from_one(folder):
    sheet(folder / "mouse 1" / "002.xlsx", [(foot, a + 1, b + 1) for foot, a, b in STEPS])
    recording = readers.read("footsteps", folder, first_frame=1).recordings[0]
    assert np.array_equal(recording.behaviour["footstep"], expected_label())


def test_the_authors_name_of_the_first_column_and_words_for_feet(tmp_path):
    rows = [("right", 3, 6), ("Left", 8, 10), ("Right foot", 12.0, "16"), ("l", 20, 20), (None, None, None)]
    columns = ("Foot (L/R)", "Frame Start", "Frame End", "x")
    path = sheet(tmp_path / "a.xlsx", [(*row, "a note") for row in rows], columns)
    steps = read_step_table(path)
    assert steps["foot"].tolist() == ["right", "left", "right", "left"]
    assert np.array_equal(frame_labels(steps, T)[0], expected_label())


def test_csv_with_the_class_last(tmp_path):
    footstep_csv(tmp_path / "010.csv", label=expected_label().astype(int), first=1)
    recording = readers.read("footsteps", tmp_path).recordings[0]
    assert recording.signal == pytest.approx(SIGNAL, rel=1e-6) and recording.notes == (NO_ANIMAL,)
    assert np.array_equal(recording.behaviour["footstep"], expected_label()) and recording.animal == "010"


def test_movement_of_the_paws_beside(folder):
    values = np.linspace(-5, 5, T)
    rows = "\n".join(f"{t},{values[t]},{2 * values[t]}" for t in range(T))
    path = folder / "mouse 1" / "002.kinematics.csv"
    path.write_text(f"frame,contra_position_mm,ipsi_velocity_mm_s\n{rows}\n")
    one, other = readers.read("footsteps", folder, strict=True).recordings
    assert one.behaviour["contra_position_mm"] == pytest.approx(values, abs=1e-5)
    assert one.behaviour["ipsi_velocity_mm_s"] == pytest.approx(2 * values, abs=1e-5)
    assert set(other.behaviour) == {"footstep"}
    path.write_text("frame,contra_position_mm\n0,1\n1,2\n")
    with pytest.raises(DataError, match="2 rows for 60 frames"):
        readers.read("footsteps", folder, strict=True)
    path.write_text("frame,contra_speed\n0,1\n")
    with pytest.raises(DataError, match="contra_speed"):
        readers.read("footsteps", folder, strict=True)


def test_steps_of_both_feet_may_overlap_and_the_later_one_counts(folder):
    sheet(folder / "mouse 1" / "002.xlsx", [("R", 3, 8), ("L", 6, 10)])
    recording = readers.read("footsteps", folder).recordings[0]
    label = recording.behaviour["footstep"]
    assert (label[3:6] == 1).all() and (label[6:11] == 2).all() and label.sum() == 3 + 10
    assert "3 frames" in recording.notes[0]


def test_cells_that_never_change_are_noted(folder):
    signal = SIGNAL.copy()
    signal[:, 2] = 4.0
    traces(folder / "mouse 1" / "002.mat", signal)
    assert readers.read("footsteps", folder).recordings[0].notes == ("1 cells never change",)


def test_a_local_set_of_the_manifest_with_options(folder, monkeypatch):
    entry = {"kind": "local", "title": "My mice", "format": "footsteps", "folder": "steps", "regime": "blocked",
             "rate_hz": 20, "options": {"contralateral": "left"}}
    (folder.parent / "data_manifest.yaml").write_text(yaml.safe_dump({"entries": {"mine": entry}}))
    monkeypatch.chdir(folder.parent)
    dataset = readers.load("mine", data_dir=folder.parent)
    assert dataset.name == "mine" and not dataset.simulated and dataset.recordings[0].rate_hz == 20
    assert dataset.recordings[0].behaviour["footstep"][3] == 2


# What is refused


@pytest.mark.parametrize(("rows", "message"), [
    ([("R", 3, 6), ("R", 3, 6)], "twice, the second time in row 3"),
    ([("R", 3, 6), ("L", 4, 5), ("R", 6, 9)], "right foot in row 4"),
    ([("R", 3, 20), ("R", 5, 6), ("R", 15, 30)], "overlap|begins before"),
    ([("R", 6, 3)], "row 2 that ends at frame 3, before its start at 6"),
    ([("R", 3, 6), ("H", 8, 9)], "row 3, column Foot: found the foot 'H'"),
    ([("R", 3, 6), ("L", None, 9)], "row 3, column Frame Start: found an empty cell"),
    ([("R", 3.5, 6)], "3.5"),
    ([("R", "three", 6)], "three"),
    ([], "no rows"),
])
def test_bad_rows_of_a_step_table(tmp_path, rows, message):
    with pytest.raises(DataError, match=message):
        read_step_table(sheet(tmp_path / "a.xlsx", rows))


@pytest.mark.parametrize("rows", [[("R", 3, 6), ("L", 58, 60)], [("R", 61, 64)], [("L", -1, 4)]])
def test_steps_outside_the_recording(folder, rows):
    sheet(folder / "mouse 1" / "002.xlsx", rows)
    with pytest.raises(DataError, match=r"outside the recording.*0 \.\. 59"):
        readers.read("footsteps", folder, strict=True)


def test_a_step_table_that_lacks_a_column_or_is_none(tmp_path):
    with pytest.raises(DataError, match="Frame Start"):
        read_step_table(sheet(tmp_path / "a.xlsx", STEPS, ("Foot", "Start", "End")))
    with pytest.raises(DataError, match="Foot"):
        columns = ("Foot", "Frame Start", "Frame End", "Foot (L/R)")
        read_step_table(sheet(tmp_path / "b.xlsx", [(*STEPS[0], "R")], columns))
    (tmp_path / "c.xlsx").write_bytes(b"no workbook")
    with pytest.raises(DataError, match="cannot be read"):
        read_step_table(tmp_path / "c.xlsx")
    with pytest.raises(DataError, match="no such file"):
        read_step_table(tmp_path / "d.xlsx")


def test_a_bad_recording_is_put_on_record_and_the_others_go_on(folder):
    sheet(folder / "mouse 1" / "002.xlsx", [("R", 6, 3)])
    dataset = readers.read("footsteps", folder)
    assert [r.id for r in dataset.recordings] == ["mouse 1/003"]
    assert dataset.refused[0].session == "mouse 1/002.mat" and "ends at frame 3" in dataset.refused[0].reason


def test_cells_with_nan_are_named(folder):
    signal = SIGNAL.copy()
    signal[5, 1] = np.nan
    signal[:, 4] = np.inf
    traces(folder / "mouse 1" / "002.mat", signal)
    with pytest.raises(DataError, match=r"2 cells of DeconvMat_wanted: cells 2, 5 \(counted from 1\)"):
        readers.read("footsteps", folder, strict=True)


def test_cells_on_the_first_axis(folder):
    # 7 frames of 60 cells, if the matrix is read as it stands: steps up to frame 20 tell that it is not so.
    traces(folder / "mouse 1" / "002.mat", SIGNAL.T)
    with pytest.raises(DataError, match="transpose"):
        readers.read("footsteps", folder, strict=True)


def test_variables_that_disagree_or_are_missing(folder):
    path = folder / "mouse 1" / "002.mat"
    traces(path, deltaf_cells_not_excluded=SIGNAL[:-1])
    with pytest.raises(DataError, match=r"\(60, 7\).*\(59, 7\)"):
        readers.read("footsteps", folder, strict=True)
    savemat(path, {"calciumsignal": SIGNAL})
    with pytest.raises(DataError, match="DeconvMat_wanted"):
        readers.read("footsteps", folder, strict=True)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DataError):
        readers.read("footsteps", folder, strict=True)
    path.with_suffix(".xlsx").unlink()
    traces(path)
    with pytest.raises(DataError, match="no such file"):
        readers.read("footsteps", folder, strict=True)


@pytest.mark.parametrize(("change", "message"), [
    (lambda s, y: (s, np.where(y == 2, 3, y)), "classes 0, 1, 3"),
    (lambda s, y: (np.where(np.arange(CELLS) == 3, np.nan, s), y), "cells 4"),
    (lambda s, y: (s.astype(object).copy(), np.array(["a"] * T)), "text"),
])
def test_bad_csv(tmp_path, change, message):
    signal, label = change(SIGNAL, expected_label().astype(int))
    footstep_csv(tmp_path / "a.csv", signal, label)
    with pytest.raises(DataError, match=message):
        readers.read("footsteps", tmp_path, strict=True)


def test_csv_with_frames_left_out_or_no_cells(tmp_path):
    path = footstep_csv(tmp_path / "a.csv")
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:20] + lines[25:]))
    with pytest.raises(DataError, match="column frame"):
        readers.read("footsteps", tmp_path, strict=True)
    path.write_text("frame,label\n0,1\n")
    with pytest.raises(DataError, match="2 columns"):
        readers.read("footsteps", tmp_path, strict=True)


def test_an_empty_folder_and_unknown_options(tmp_path, folder):
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DataError, match=r"no \.mat"):
        readers.read("footsteps", empty)
    with pytest.raises(ParameterError, match="trace"):
        readers.read("footsteps", folder, trace="raw")
    with pytest.raises(ParameterError, match="contralateral"):
        readers.read("footsteps", folder, contralateral="up")

