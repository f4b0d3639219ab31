"""Every reader on files of its format, good and bad, and on the real data sets where they are at hand."""

import os
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from scipy.io import savemat

from calcium_decoding import simulation
from calcium_decoding.data import readers
from calcium_decoding.data.movies import write_movie
from calcium_decoding.data.recording import Recording
from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.simulation import widefield

T = 60


# --- Files to read ------------------------------------------------------------------------------------------


def save_v73(path, variables):
    """A file as MATLAB 7.3 writes it: header before HDF5, arrays transposed, cells as object references."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, value in variables.items():
            _put_v73(file, file, name, value)
    header = b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(116) + bytes(8) + b"\x00\x02IM"
    with open(path, "r+b") as file:
        file.write(header)


def _put_v73(file, place, name, value):
    if isinstance(value, np.ndarray) and value.dtype == object:
        inner = file.require_group("#refs#")
        references = np.empty(value.T.shape, dtype=h5py.ref_dtype)
        for i, cell in np.ndenumerate(value.T):
            references[i] = _put_v73(file, inner, f"{name}-{i}", cell).ref
        item, kind = place.create_dataset(name, data=references, dtype=h5py.ref_dtype), "cell"
    elif isinstance(value, str):
        item, kind = place.create_dataset(name, data=np.array([[ord(c)] for c in value], np.uint16)), "char"
    elif np.size(value) == 0:
        item, kind = place.create_dataset(name, data=np.array(np.shape(value), np.uint64)), "double"
        item.attrs["MATLAB_empty"] = np.uint8(1)
    else:
        item, kind = place.create_dataset(name, data=np.asarray(value).T), "double"
    item.attrs["MATLAB_class"] = np.bytes_(kind)
    return item


SAVE = {"v5": savemat, "v7.3": save_v73}


def cells(values):
    """MATLAB cell array of 1 by n."""
    row = np.empty((1, len(values)), dtype=object)
    for i, value in enumerate(values):
        row[0, i] = value
    return row


def session(seed, n_frames=T, n_roi=50):
    """Arrays of one session in the study's orientation, label and speed in agreement."""
    rng = np.random.default_rng(seed)
    speed = np.abs(rng.normal(1, 2, (1, n_frames)))
    return {"dat_roi": rng.normal(size=(n_roi, n_frames)), "runrest": (speed > 0.5).astype(float),
            "speed_rs": speed}


SESSIONS = {"20200101_X_non_1": 2, "20200102_X_LR_1": 1, "20200103_X_non_1": 5}  # name: mouse


def write_study(folder, save=savemat, column="mouse_No.", signal_path="elsewhere/{}_s.mat", change=None):
    """The study's files, one a session; ``change(arrays)`` spoils those of the second session."""
    folder.mkdir(exist_ok=True)
    paths = {name: (signal_path or "data_of_signal_64_5mice/{}.mat").format(name) for name in SESSIONS}
    rows, written = [], {}
    for seed, (name, mouse) in enumerate(SESSIONS.items()):
        arrays = session(seed)
        if change is not None and seed == 1:
            arrays = change(arrays) or arrays
        behaviour = folder / f"data_of_behavior_64_5mice/{name}_behavior.mat"
        for path in (folder / paths[name], behaviour):
            path.parent.mkdir(exist_ok=True)
        save(folder / paths[name], {key: arrays[key] for key in arrays if key not in ("runrest", "speed_rs")})
        save(behaviour, {key: arrays[key] for key in ("runrest", "speed_rs") if key in arrays})
        rows.append({"Data_ID": name, column: mouse} | ({"Signal_Path": paths[name]} if signal_path else {}))
        written[name] = arrays
    pd.DataFrame(rows).to_csv(folder / "data_64_5mice.csv", index=False)
    return written


def write_assembled(folder, save=savemat, speed=True, signal_name="signal_5mice.mat", mice=((1, 2), (2, 1))):
    """The study's assembled files; ``mice`` gives the number of each mouse and of its sessions."""
    folder.mkdir(exist_ok=True)
    made = {mouse: [session(10 * mouse + i) for i in range(n)] for mouse, n in mice}
    for file, key, variable in ((signal_name, "dat_roi", "signal"),
                                ("runrest_5mice.mat", "runrest", "runrest"),
                                ("speed_5mice.mat", "speed_rs", "speed")):
        if speed or variable != "speed":
            save(folder / file, {f"{variable}{mouse}": cells([arrays[key] for arrays in sessions])
                                 for mouse, sessions in made.items()})
    return made


def assert_error(error, where, found, expected):
    """The message names the place, what was found there and what was expected."""
    assert where in error.where
    assert found in error.found
    assert expected in error.expected
    assert error.remedy and all(part in str(error) for part in (error.where, error.found, error.expected))


def cut(path, share=0.6):
    path.write_bytes(path.read_bytes()[:int(path.stat().st_size * share)])


# --- MATLAB files -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("save", SAVE.values(), ids=SAVE)
def test_load_mat_gives_the_same_for_both_generations(tmp_path, save):
    numbers = np.arange(6.0).reshape(2, 3)
    content = {"numbers": numbers, "text": "wheel", "cells": cells([numbers, "pupil", cells([numbers[:1]])]),
               "unread": numbers}
    save(tmp_path / "file.mat", content)
    read = readers.load_mat(tmp_path / "file.mat", ["numbers", "text", "cells"], optional=["other"])
    assert list(read) == ["numbers", "text", "cells"]
    np.testing.assert_array_equal(read["numbers"], numbers)
    assert read["text"] == "wheel"
    np.testing.assert_array_equal(read["cells"][0], numbers)
    assert read["cells"][1] == "pupil"
    np.testing.assert_array_equal(read["cells"][2][0], numbers[:1])


@pytest.mark.parametrize("save", SAVE.values(), ids=SAVE)
def test_cells_come_in_matlab_order(tmp_path, save):
    grid = np.empty((2, 2), dtype=object)
    for i, place in enumerate([(0, 0), (1, 0), (0, 1), (1, 1)]):  # column by column
        grid[place] = np.array([[float(i)]])
    save(tmp_path / "file.mat", {"grid": grid})
    assert [float(cell.item()) for cell in readers.load_mat(tmp_path / "file.mat", ["grid"])["grid"]] == [0,
                                                                                                          1,
                                                                                                          2,
                                                                                                          3]


@pytest.mark.parametrize("save", SAVE.values(), ids=SAVE)
def test_empty_matrix_keeps_its_shape(tmp_path, save):
    save(tmp_path / "file.mat", {"empty": np.zeros((50, 0))})
    assert readers.load_mat(tmp_path / "file.mat", ["empty"])["empty"].shape == (50, 0)


@pytest.mark.parametrize("save", SAVE.values(), ids=SAVE)
def test_missing_variable_lists_those_found(tmp_path, save):
    save(tmp_path / "file.mat", {"a": np.ones((1, 3)), "b": cells([np.ones((1, 2))])})
    with pytest.raises(DataError) as caught:
        readers.load_mat(tmp_path / "file.mat", ["dat_roi"])
    assert_error(caught.value, "file.mat", "a, b", "dat_roi")


def test_missing_mat_file(tmp_path):
    with pytest.raises(DataError) as caught:
        readers.load_mat(tmp_path / "none.mat", ["x"])
    assert_error(caught.value, "none.mat", "no such file", "MATLAB file")


@pytest.mark.parametrize("save", SAVE.values(), ids=SAVE)
@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 0.6, 0.95])
def test_truncated_mat_file(tmp_path, save, share):
    path = tmp_path / "file.mat"
    save(path, {"x": np.random.default_rng(0).normal(size=(50, 400))})
    cut(path, share)
    with pytest.raises(DataError) as caught:
        readers.load_mat(path, ["x"])
    if "no x" not in caught.value.found:  # cut at the variable: what is left may count as a whole, empty file
        assert_error(caught.value, "file.mat", "cannot be read as MATLAB data", "a whole MATLAB file")


def test_file_that_is_no_mat_file(tmp_path):
    (tmp_path / "file.mat").write_text("<html>404: not found</html>" * 50)
    with pytest.raises(DataError) as caught:
        readers.load_mat(tmp_path / "file.mat", ["x"])
    assert_error(caught.value, "file.mat", "cannot be read as MATLAB data", "a whole MATLAB file")


# --- The study's files, one a session -----------------------------------------------------------------------


@pytest.mark.parametrize("signal_path", ["elsewhere/{}_s.mat", "elsewhere\\{}_s.mat", None],
                         ids=["path", "windows path", "no path"])
@pytest.mark.parametrize("column", ["mouse_No.", "Mouse_#"])
@pytest.mark.parametrize("save", SAVE.values(), ids=SAVE)
def test_study(tmp_path, save, column, signal_path):
    if signal_path and "\\" in signal_path:
        written = write_study(tmp_path / "study", save, column)
        table = tmp_path / "study/data_64_5mice.csv"
        table.write_text(table.read_text().replace("/", "\\"))
    else:
        written = write_study(tmp_path / "study", save, column, signal_path)
    dataset = readers.read("study", tmp_path / "study")
    assert dataset.name == "study" and not dataset.refused and not dataset.simulated
    # The animal comes from the table: two of these sessions share the tag "non".
    assert [r.id for r in dataset.recordings] == [f"mouse {mouse}/{name}" for name, mouse in SESSIONS.items()]
    for recording in dataset.recordings:
        arrays = written[recording.session]
        np.testing.assert_array_equal(recording.signal, arrays["dat_roi"].T.astype(np.float32))
        np.testing.assert_array_equal(recording.run, arrays["runrest"][0])
        np.testing.assert_array_equal(recording.behaviour["speed_cm_s"],
                                      arrays["speed_rs"][0].astype(np.float32))
        assert recording.roi_names == tuple(str(i) for i in range(1, 51))
        assert (recording.rate_hz, recording.signal_unit) == (30, "dF/F (%)")
        assert recording.notes == ("run label and speed > 0.5 cm/s disagree on 0 % of frames",)


def test_study_with_movies(tmp_path):
    write_study(tmp_path)
    names = [r.session for r in readers.read_study(tmp_path).recordings]
    pictures = {name: np.random.default_rng(i).integers(0, 999, (T, 6, 8), np.uint16) for i, name in enumerate(names)}
    for name in names[1:]:
        write_movie(tmp_path / "data_of_image_64_5mice" / f"{name}.tif", [pictures[name]], (T, 6, 8))
    assert all(r.movie is None for r in readers.read_study(tmp_path).recordings)
    dataset = readers.read_study(tmp_path, movies=True)
    assert [r.session for r in dataset.recordings] == names[1:]
    assert f"{names[0]}.tif" in dataset.refused[0].reason  # the one without a movie, by name
    for recording in dataset.recordings:
        np.testing.assert_array_equal(recording.movie[3:9], pictures[recording.session][3:9])


def test_a_movie_of_another_length_refuses_its_session(tmp_path):
    write_study(tmp_path)
    for recording in readers.read_study(tmp_path).recordings:
        n = T - 1 if recording.animal == "mouse 1" else T
        write_movie(tmp_path / f"{recording.session}.tif", [np.zeros((n, 4, 4), np.uint16)], (n, 4, 4))
    dataset = readers.read_study(tmp_path, movies=True)
    assert "mouse 1" not in dataset.animals
    assert all(f"{T - 1} frames" in refusal.reason for refusal in dataset.refused)


def test_assembled_signals_go_with_movies_by_the_session_table(tmp_path):
    write_assembled(tmp_path, mice=((1, 1), (2, 2)))
    with pytest.raises(DataError, match="no session table"):
        readers.read_study(tmp_path, movies=True)
    names = ["20200101_X_LR_1", "20200102_X_non_1", "20200103_X_non_1"]
    pd.DataFrame({"Data_ID": names, "mouse_No.": [1, 2, 2]}).to_csv(tmp_path / "data_3.csv", index=False)
    for i, name in enumerate(names[:2]):
        write_movie(tmp_path / "pictures" / f"{name}.tif", [np.full((T, 4, 4), i, np.uint16)], (T, 4, 4))
    dataset = readers.read_study(tmp_path, movies=True)
    assert [(r.session, int(r.movie[5:6].max())) for r in dataset.recordings] == [(names[0], 0), (names[1], 1)]
    assert [refusal.session for refusal in dataset.refused] == [f"mouse 2/{names[2]}"]
    assert all(r.movie is None for r in readers.read_study(tmp_path).recordings)


@pytest.mark.parametrize("place", ["{}.tif", "{}.npy", "{}/frame_0.tif"])
def test_a_plain_session_takes_the_movie_of_its_name(tmp_path, place):
    pixels = np.random.default_rng(0).integers(0, 99, (8, 5, 6), np.uint16)
    for name in ("one", "two"):
        recording = Recording(pixels.mean(axis=(1, 2))[:, None], {"run": [0, 1] * 4}, 20.0, "m", name)
        readers.write_npz(recording, tmp_path / f"{name}.npz")
    path = tmp_path / place.format("one")
    path.parent.mkdir(exist_ok=True)
    np.save(path, pixels) if path.suffix == ".npy" else write_movie(path, [pixels], pixels.shape)
    dataset = readers.read("npz", tmp_path, movies=True)
    np.testing.assert_array_equal(dataset.recordings[0].movie[2:7], pixels[2:7])
    assert [(r.session, "two.tif, two.tiff, two.npy, " in r.reason) for r in dataset.refused] == [("two.npz", True)]
    assert [r.movie for r in readers.read("npz", tmp_path).recordings] == [None, None]


def test_a_channel_of_the_movie_beside_a_session_can_be_named(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 99, (8, 2, 5, 6), np.uint16)
    readers.write_npz(Recording(np.ones((8, 1)), {"run": [0, 1] * 4}, 20.0, "m", "one"), tmp_path / "one.npz")
    tifffile.imwrite(tmp_path / "one.tif", pixels, imagej=True, metadata={"axes": "TCYX"})
    with pytest.raises(DataError, match="channel"):
        readers.read("npz", tmp_path, movies=True)
    found = readers.read("npz", tmp_path, movies=True, movie={"channel": 2}).recordings[0]
    np.testing.assert_array_equal(found.movie[0:8], pixels[:, 1])
    assert found.notes == found.movie.notes
    with pytest.raises(ParameterError, match="colour"):
        readers.read("npz", tmp_path, movies=True, movie={"colour": 2}, strict=True)


def test_movies_of_a_format_without_any_are_refused(tmp_path):
    write_isfn(tmp_path)
    with pytest.raises(ParameterError, match="one of study, npz, csv"):
        readers.read("isfn", tmp_path, movies=True)
    assert readers.read("isfn", tmp_path, movies=False).recordings[0].movie is None


@pytest.mark.parametrize("write", [write_study, write_assembled])
@pytest.mark.parametrize(("text", "marked"), [('{"simulated": true}', True), ('{"simulated": false}', False),
                                              ("{}", False), ("[]", False), (None, False)])
def test_study_is_simulated_where_the_truth_beside_it_says_so(tmp_path, write, text, marked):
    write(tmp_path)
    if text is not None:
        (tmp_path / "truth.json").write_text(text)
    assert {r.simulated for r in readers.read_study(tmp_path).recordings} == {marked}


def test_a_damaged_truth_is_refused(tmp_path):
    write_study(tmp_path)
    (tmp_path / "truth.json").write_text('{"simulated": tr')
    with pytest.raises(DataError) as caught:
        readers.read_study(tmp_path)
    assert_error(caught.value, "truth.json", "cannot be read", "what the simulator wrote")


def test_a_simulation_of_ones_own_reads_as_simulated(tmp_path):
    widefield.write_dataset(widefield.SimulationSettings("no_link", 1, 1, 300, 1), tmp_path)
    assert all(r.simulated for r in readers.read_study(tmp_path).recordings)


def test_disagreement_of_label_and_speed_is_noted_and_not_mended(tmp_path):
    flipped = {}

    def flip(arrays):
        arrays["runrest"][0, :3] = 1 - arrays["runrest"][0, :3]
        flipped["run"] = arrays["runrest"][0]

    write_study(tmp_path, change=flip)
    recording = readers.read_study(tmp_path).recordings[1]
    assert recording.notes == ("run label and speed > 0.5 cm/s disagree on 5 % of frames",)
    np.testing.assert_array_equal(recording.run, flipped["run"])


def test_study_without_speed_says_that_the_label_is_unchecked(tmp_path):
    write_study(tmp_path, change=lambda arrays: arrays.pop("speed_rs") is None or arrays)
    recording = readers.read_study(tmp_path).recordings[1]
    assert "speed_cm_s" not in recording.behaviour
    assert "could not be checked" in recording.notes[0]


def _set(name, value):
    def change(arrays):
        arrays[name] = value(arrays[name]) if callable(value) else value
    return change


def _put(name, place, value):
    def change(arrays):
        arrays[name][place] = value
    return change


BAD_SESSIONS = {
    "swapped": (_set("dat_roi", np.transpose), "(60, 50)", "ROI by time, (50, T)"),
    "too few ROIs": (_set("dat_roi", lambda x: x[:49]), "(49, 60)", "ROI by time, (50, T)"),
    "three axes": (_set("dat_roi", lambda x: x[..., None] * np.ones(2)), "(50, 60, 2)",
                   "ROI by time, (50, T)"),
    "cell for matrix": (_set("dat_roi", cells([np.ones((50, T))])), "a cell array", "a plain matrix of numbers"),
    "text for matrix": (_set("runrest", "run"), "text", "a plain matrix of numbers"),
    "short label": (_set("runrest", lambda x: x[:, :-1]), "60 frames of signal but 59 values of 'run'",
                    "equal"),
    "short speed": (_set("speed_rs", lambda x: x[:, 1:]), "59 values of 'speed_cm_s'", "equal lengths"),
    "NaN in signal": (_put("dat_roi", (7, 5), np.nan), "frame 5, column 7", "finite numbers"),
    "inf in signal": (_put("dat_roi", (7, 5), np.inf), "frame 5, column 7", "finite numbers"),
    "NaN in label": (_put("runrest", (0, 4), np.nan), "behaviour 'run', the first at frame 4",
                     "finite numbers"),
    "constant ROIs": (_put("dat_roi", ([6, 30],), 1.5), "ROI 7, 31", "traces that vary"),
    "other label": (_put("runrest", (0, 4), 2), "2.0", "0 for rest and 1 for run"),
    "no frames": (lambda arrays: {name: x[:, :0] for name, x in arrays.items()}, "(0, 50)",
                  "one frame"),
    "no signal variable": (lambda arrays: arrays | {"signal": arrays.pop("dat_roi")},
                           "the variables signal, and no dat_roi", "dat_roi"),
    "no label variable": (lambda arrays: {k: v for k, v in arrays.items() if k != "runrest"}, "speed_rs",
                          "runrest"),
}


@pytest.mark.parametrize(("change", "found", "expected"), BAD_SESSIONS.values(), ids=BAD_SESSIONS)
def test_bad_session_is_refused_by_name_and_the_others_go_on(tmp_path, change, found, expected):
    write_study(tmp_path, change=change)
    dataset = readers.read_study(tmp_path)
    assert [r.session for r in dataset.recordings] == ["20200101_X_non_1", "20200103_X_non_1"]
    assert [r.session for r in dataset.refused] == ["mouse 1/20200102_X_LR_1"]
    with pytest.raises(DataError) as caught:
        readers.read_study(tmp_path, strict=True)
    assert_error(caught.value, "20200102_X_LR_1", found, expected)
    assert dataset.refused[0].reason == str(caught.value)


def test_swapped_signal_is_told_how_to_mend_it(tmp_path):
    write_study(tmp_path, change=_set("dat_roi", np.transpose))
    assert "transpose" in readers.read_study(tmp_path).refused[0].reason


@pytest.mark.parametrize("save", SAVE.values(), ids=SAVE)
@pytest.mark.parametrize("file", ["elsewhere/20200102_X_LR_1_s.mat",
                                  "data_of_behavior_64_5mice/20200102_X_LR_1_behavior.mat"])
def test_missing_or_cut_file_refuses_its_session(tmp_path, save, file):
    write_study(tmp_path, save)
    cut(tmp_path / file)
    dataset = readers.read_study(tmp_path)
    assert [r.session for r in dataset.refused] == ["mouse 1/20200102_X_LR_1"]
    assert len(dataset.recordings) == 2
    assert Path(file).name in dataset.refused[0].reason
    (tmp_path / file).unlink()
    with pytest.raises(DataError) as caught:
        readers.read_study(tmp_path, strict=True)
    assert Path(file).name in str(caught.value)
    assert caught.value.found.startswith("no ") and "20200102_X_LR_1" in str(caught.value)


def test_all_sessions_refused_is_an_error_that_names_each(tmp_path):
    write_study(tmp_path)
    for path in (tmp_path / "elsewhere").iterdir():
        path.unlink()
    with pytest.raises(DataError) as caught:
        readers.read_study(tmp_path)
    assert all(name in caught.value.found for name in SESSIONS)


@pytest.mark.parametrize("signal_path", ["../outside.mat", "/etc/passwd", "..\\outside.mat"])
def test_path_out_of_the_folder_is_refused(tmp_path, signal_path):
    write_study(tmp_path / "study", signal_path="elsewhere/{}_s.mat")
    savemat(tmp_path / "outside.mat", session(0))
    table = tmp_path / "study/data_64_5mice.csv"
    table.write_text(table.read_text().replace("elsewhere/20200102_X_LR_1_s.mat", signal_path))
    with pytest.raises(DataError) as caught:
        readers.read_study(tmp_path / "study")
    assert_error(caught.value, "data_64_5mice.csv", signal_path, "inside")


BAD_TABLES = {
    "column missing": ("Data_ID,animal\na,1\n", "Data_ID, animal", "mouse_No. or Mouse_#"),
    "name column missing": ("session,mouse_No.\na,1\n", "session, mouse_No.", "Data_ID"),
    "no rows": ("Data_ID,mouse_No.\n", "no rows", "a row a session"),
    "empty cell": ("Data_ID,mouse_No.\na,1\nb,\n", "row 2", "complete"),
    "mouse is no number": ("Data_ID,mouse_No.\na,one\n", "'one'", "whole numbers"),
    "session twice": ("Data_ID,mouse_No.\na,1\na,2\n", "the session a twice", "once"),
    "name is a path": ("Data_ID,mouse_No.\n../a,1\n", "../a", "without /"),
    "empty file": ("", "cannot be read as a table", "CSV"),
    "ragged": ("Data_ID,mouse_No.\na,1\nb,2,3,4,5\n", "cannot be read as a table", "CSV"),
}


@pytest.mark.parametrize(("text", "found", "expected"), BAD_TABLES.values(), ids=BAD_TABLES)
def test_bad_table_raises(tmp_path, text, found, expected):
    write_study(tmp_path)
    (tmp_path / "data_64_5mice.csv").write_text(text)
    with pytest.raises(DataError) as caught:
        readers.read_study(tmp_path)
    assert_error(caught.value, "data_64_5mice.csv", found, expected)


def test_two_tables_no_table_and_no_folder(tmp_path):
    with pytest.raises(DataError) as caught:
        readers.read_study(tmp_path)
    assert_error(caught.value, tmp_path.name, "neither", "the study's files")
    write_study(tmp_path)
    (tmp_path / "data_copy.csv").write_text("")
    with pytest.raises(DataError) as caught:
        readers.read_study(tmp_path)
    assert_error(caught.value, tmp_path.name, "data_64_5mice.csv, data_copy.csv", "one session table")
    with pytest.raises(DataError, match="no such folder"):
        readers.read_study(tmp_path / "none")


def test_file_of_one_name_in_two_places_is_not_chosen_from(tmp_path):
    write_study(tmp_path)
    name = "20200102_X_LR_1_behavior.mat"
    (tmp_path / name).write_bytes((tmp_path / "data_of_behavior_64_5mice" / name).read_bytes())
    assert f"2 files called {name}" in readers.read_study(tmp_path).refused[0].reason


def test_simulated_files_are_read_as_they_were_made(tmp_path):
    settings = widefield.SimulationSettings(sessions_per_animal=1, frames_per_session=300)
    widefield.write_dataset(settings, tmp_path)
    dataset = readers.read_study(tmp_path)
    assert dataset.animals == tuple(f"mouse {i}" for i in range(1, 6)) and not dataset.refused
    made = widefield.simulate_session(settings, 3, 0)
    np.testing.assert_allclose(dataset.recordings[2].signal, made.signal(), rtol=1e-6)
    np.testing.assert_array_equal(dataset.recordings[2].run, made.run)


# --- The study's assembled files ----------------------------------------------------------------------------


@pytest.mark.parametrize("save", SAVE.values(), ids=SAVE)
def test_assembled(tmp_path, save):
    made = write_assembled(tmp_path, save)
    dataset = readers.read("study", tmp_path)
    assert [r.id for r in dataset.recordings] == ["mouse 1/session 1", "mouse 1/session 2",
                                                  "mouse 2/session 1"]
    for recording, arrays in zip(dataset.recordings, [*made[1], *made[2]], strict=True):
        np.testing.assert_array_equal(recording.signal, arrays["dat_roi"].T.astype(np.float32))
        np.testing.assert_array_equal(recording.run, arrays["runrest"][0])
        assert any("moving mean already" in note for note in recording.notes)
        assert any("disagree on 0 %" in note for note in recording.notes)


def test_assembled_names_come_from_the_table_in_its_order(tmp_path):
    write_assembled(tmp_path)
    table = "Data_ID,Mouse_#,Signal_Path\nb,1,x/b.mat\nc,2,x/c.mat\na,1,x/a.mat\n"
    (tmp_path / "data_64_5mice.csv").write_text(table)
    dataset = readers.read_study(tmp_path)
    assert [r.id for r in dataset.recordings] == ["mouse 1/b", "mouse 1/a", "mouse 2/c"]


def test_raw_assembled_file_is_preferred_and_not_called_subtracted(tmp_path):
    write_assembled(tmp_path)
    raw = session(99)["dat_roi"]
    savemat(tmp_path / "signal_5mice_raw.mat", {"signal1": cells([raw, raw + 1]), "signal2": cells([raw])})
    recordings = readers.read_study(tmp_path).recordings
    np.testing.assert_array_equal(recordings[0].signal, raw.T.astype(np.float32))
    assert not any("moving mean" in note for note in recordings[0].notes)


def test_assembled_signal_with_behaviour_a_session(tmp_path):
    made = write_assembled(tmp_path, mice=((1, 1), (2, 1)))
    for name in ("runrest_5mice.mat", "speed_5mice.mat"):
        (tmp_path / name).unlink()
    with pytest.raises(DataError, match="no session table"):
        readers.read_study(tmp_path)
    (tmp_path / "data_64_5mice.csv").write_text("Data_ID,mouse_No.\nb,2\na,1\n")
    (tmp_path / "behaviour").mkdir()
    for name, mouse in (("a", 1), ("b", 2)):
        savemat(tmp_path / f"behaviour/{name}_behavior.mat", {"runrest": made[mouse][0]["runrest"]})
    dataset = readers.read_study(tmp_path)
    assert [r.id for r in dataset.recordings] == ["mouse 1/a", "mouse 2/b"]
    np.testing.assert_array_equal(dataset.recordings[1].run, made[2][0]["runrest"][0])


def test_session_files_go_before_assembled_ones(tmp_path):
    write_assembled(tmp_path)
    write_study(tmp_path)
    assert [r.session for r in readers.read_study(tmp_path).recordings] == list(SESSIONS)


def test_assembled_without_speed(tmp_path):
    write_assembled(tmp_path, speed=False)
    assert any("could not be checked" in note for note in readers.read_study(tmp_path).recordings[0].notes)


def test_bad_cell_refuses_its_session(tmp_path):
    made = write_assembled(tmp_path)
    savemat(tmp_path / "signal_5mice.mat",
            {"signal1": cells([made[1][0]["dat_roi"], made[1][1]["dat_roi"].T]),
             "signal2": cells([made[2][0]["dat_roi"]])})
    dataset = readers.read_study(tmp_path)
    assert [r.session for r in dataset.refused] == ["mouse 1/session 2"]
    assert "signal1, cell 2" in dataset.refused[0].reason and "(60, 50)" in dataset.refused[0].reason


def test_assembled_files_that_do_not_belong_together(tmp_path):
    write_assembled(tmp_path)
    run = np.zeros((1, T))
    savemat(tmp_path / "runrest_5mice.mat", {"runrest1": cells([run]), "runrest2": cells([run])})
    with pytest.raises(DataError) as caught:
        readers.read_study(tmp_path)
    assert_error(caught.value, "runrest_5mice.mat", "1 sessions in runrest1", "2, as in the signal file")
    savemat(tmp_path / "runrest_5mice.mat", {"runrest1": cells([run, run])})
    with pytest.raises(DataError) as caught:
        readers.read_study(tmp_path)
    assert_error(caught.value, "runrest_5mice.mat", "no runrest2", "runrest2")
    savemat(tmp_path / "runrest_5mice.mat", {"runrest1": np.zeros((2, T)), "runrest2": cells([run])})
    with pytest.raises(DataError) as caught:
        readers.read_study(tmp_path)
    assert_error(caught.value, "runrest_5mice.mat", "runrest1 as a plain matrix", "a cell array")


@pytest.mark.parametrize(("rows", "found", "expected"), [
    ("a,1\nb,2\n", "1 rows for mouse 1", "2, as in signal_5mice.mat"),
    ("a,1\nb,1\nc,2\nd,3\n", "rows for mouse 3", "only mice that the signal file holds"),
])
def test_table_that_does_not_fit_the_assembled_files(tmp_path, rows, found, expected):
    write_assembled(tmp_path)
    (tmp_path / "data_64_5mice.csv").write_text(f"Data_ID,mouse_No.\n{rows}")
    with pytest.raises(DataError) as caught:
        readers.read_study(tmp_path)
    assert_error(caught.value, "data_64_5mice.csv", found, expected)


def test_assembled_file_without_signals(tmp_path):
    write_assembled(tmp_path)
    (tmp_path / "speed_5mice.mat").rename(tmp_path / "signal_5mice.mat")
    with pytest.raises(DataError) as caught:
        readers.read_study(tmp_path)
    assert_error(caught.value, "signal_5mice.mat", "speed1, speed2", "signal1")


# --- Widefield recording with a wheel -----------------------------------------------------------------------


def bouts(run):
    return len("".join(map(str, run)).replace("0", " ").split())


def write_isfn(folder, **change):
    rng = np.random.default_rng(0)
    wheel = np.full(400, -0.2)
    wheel[100:150] = 5
    wheel[118:122] = -0.2  # between two strides of one run
    wheel[300:340] = -3  # backwards counts as well
    content = {"x": rng.normal(size=(48, 400)), "t": 299.9664 + np.arange(400.0)[:, None] / 10,
               "behavior_traces": np.stack([rng.normal(size=400), rng.normal(size=400), wheel]),
               "behavior_labels": cells(["whisking", "pupil", "wheel"])} | change
    savemat(folder / "data_animal1.mat",
            {name: value for name, value in content.items() if value is not None})
    return content


def test_isfn(tmp_path):
    content = write_isfn(tmp_path)
    (recording,) = readers.read_isfn(tmp_path).recordings
    np.testing.assert_array_equal(recording.signal, content["x"].T.astype(np.float32))
    for i, name in enumerate(["whisking", "pupil", "wheel"]):  # by label, not by the order of the real file
        np.testing.assert_array_equal(recording.behaviour[name],
                                      content["behavior_traces"][i].astype(np.float32))
    assert recording.rate_hz == 10 and recording.signal_unit == "a.u."
    assert bouts(recording.run) == 2 and recording.run[120] == 1 and recording.run[320] == 1
    assert recording.run[:80].sum() == 0 and recording.run[200:280].sum() == 0
    assert f"{100 * recording.run.mean():.1f} % of frames in 2 bouts" in recording.notes[0]


@pytest.mark.parametrize(("change", "found", "expected"), [
    ({"t": None}, "no t", "t"),
    ({"behavior_labels": cells(["whisking", "pupil", "speed"])}, "whisking, pupil, speed", "'wheel'"),
    ({"behavior_labels": cells(["pupil", "wheel"])}, "3 traces", "one label a trace"),
    ({"t": np.arange(400.0)[:, None] / 20}, "0.05", "0.1 s"),
    ({"t": np.delete(np.arange(401.0), 200)[:, None] / 10}, "0.1 to 0.2 s", "even steps"),
    ({"x": np.ones((400, 48))}, "(400, 48)", "parcels by time"),
    ({"x": cells([np.ones((48, 400))])}, "x as a cell array", "matrix"),
], ids=["no times", "no wheel", "too few labels", "other rate", "frame missing", "swapped", "cell"])
def test_bad_isfn(tmp_path, change, found, expected):
    write_isfn(tmp_path, **change)
    with pytest.raises(DataError) as caught:
        readers.read("isfn", tmp_path)
    assert_error(caught.value, "data_animal1.mat", found, expected)


def test_isfn_without_its_file(tmp_path):
    with pytest.raises(DataError, match=r"data_animal1\.mat: found no such file"):
        readers.read_isfn(tmp_path)


# --- Cells on a linear track --------------------------------------------------------------------------------


def write_day(folder, day, logged=(500, 400, 420, 440, 500), entries=(None, 401, 419, 440), cells_per_day=7,
              **change):
    """One day: frames of each trial in the log, and of each entry of behaviour (None: not scored)."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(day)
    ends = np.cumsum(logged)
    log = pd.DataFrame({"session": 1, "trial": np.arange(len(logged)) + 1, "begFrame": ends - logged + 1,
                        "endFrame": ends, "Var5": "recording.tif"})
    for name, (row, value) in change.items():
        log.loc[row, name] = value
    log.to_csv(folder / f"frameLog_{day}.csv", index=False)
    events = np.arange(ends[-1])[:, None] + np.zeros(cells_per_day)  # an event matrix that tells the frame
    savemat(folder / f"finalEventsMat_{day}.mat", {"allEventsMat": events})
    velocities = []
    movements = []
    for n in entries:
        velocity = None
        if n is not None:
            velocity = rng.normal(0, 1, n)
            velocity[50:100] = 30
            velocity[200:250] = -30
            velocity[300] = -299
        velocities.append(velocity)
        movements.append(np.zeros((0, 0)) if n is None else
                         {"velocity": velocity[:, None], "position": np.linspace(0, 1, n)[:, None]})
    savemat(folder / f"behavior_{day}.mat", {"my_mvmt": cells(movements)})
    return velocities


def test_multiple_maps(tmp_path):
    place = tmp_path / "C1_M1/Environment A"
    velocities = write_day(place, 3)
    write_day(place, 12)
    dataset = readers.read("multiple_maps", tmp_path)
    ids = [f"C1_M1/day {day}/trial {trial}" for day in (3, 12) for trial in (2, 3, 4)]
    assert [r.id for r in dataset.recordings] == ids and not dataset.refused
    lengths, firsts = (400, 419, 440), (500, 900, 1320)
    for recording, n, first, velocity in zip(dataset.recordings[:3], lengths, firsts, velocities[1:],
                                             strict=True):
        assert recording.n_frames == n and recording.rate_hz == 20
        assert recording.signal[0, 0] == first and recording.signal[-1, 0] == first + n - 1
        np.testing.assert_array_equal(recording.behaviour["velocity"], velocity[:n].astype(np.float32))
        # The single jump at frame 300 stays in the velocity and makes no running.
        assert recording.run[55:95].all() and recording.run[205:245].all() and recording.run[:45].sum() == 0
        assert recording.run[300] == 0
        assert any("1 frames with |velocity| > 100, up to 299" in note for note in recording.notes)
        assert recording.roi_names[4] == "day3-cell5"
    trimmed = "401 frames of behaviour and 400 of imaging: trimmed to 400"
    assert any(trimmed in note for note in dataset.recordings[0].notes)
    assert not any("trimmed" in x for x in dataset.recordings[2].notes)


def test_trial_that_is_far_off_is_refused_alone(tmp_path):
    write_day(tmp_path / "C1_M1/Environment A", 1, entries=(None, 401, 421, 650))
    dataset = readers.read_multiple_maps(tmp_path)
    assert [r.part for r in dataset.recordings] == ["trial 2", "trial 3"]
    assert [r.session for r in dataset.refused] == ["C1_M1/day 1/trial 4"]
    assert "650 frames of behaviour and 440 of imaging" in dataset.refused[0].reason
    with pytest.raises(DataError) as caught:
        readers.read_multiple_maps(tmp_path, strict=True)
    assert_error(caught.value, "behavior_1.mat, trial 4", "650 frames", "equal lengths to within 100 frames")


def test_day_whose_entries_do_not_match_the_log_is_refused(tmp_path):
    place = tmp_path / "C1_M1/Environment A"
    write_day(place, 1, entries=(None, 401, 900, 800))  # trial 2 fits, but may be another one
    write_day(place, 2)
    dataset = readers.read_multiple_maps(tmp_path)
    assert {r.session for r in dataset.recordings} == {"day 2"}
    assert [r.session for r in dataset.refused] == ["C1_M1/day 1"]
    assert all(text in dataset.refused[0].reason for text in ("do not match the frame log one to one",
                                                              "trial 3", "trial 4"))


@pytest.mark.parametrize(("arguments", "file", "found", "expected"), [
    ({"entries": (None, *[400] * 5)}, "behavior_1.mat", "6 entries", "at most 5"),
    ({"begFrame": (2, 902)}, "frameLog_1.csv", "leave frames out", "right after"),
    ({"endFrame": (4, 9999)}, "finalEventsMat_1.mat", "(2260, 7)", "9999 frames"),
    ({"endFrame": (1, 100)}, "frameLog_1.csv", "overlap", "right after"),
], ids=["too many entries", "gap in the log", "log of another day", "end before begin"])
def test_bad_day(tmp_path, arguments, file, found, expected):
    write_day(tmp_path / "C1_M1/Environment A", 1, **arguments)
    with pytest.raises(DataError) as caught:
        readers.read_multiple_maps(tmp_path, strict=True)
    assert_error(caught.value, file, found, expected)


@pytest.mark.parametrize("file", ["frameLog_1.csv", "finalEventsMat_1.mat"])
def test_day_with_a_file_missing_is_refused(tmp_path, file):
    place = tmp_path / "C1_M1/Environment A"
    write_day(place, 1)
    write_day(place, 2)
    (place / file).unlink()
    dataset = readers.read_multiple_maps(tmp_path)
    assert [r.session for r in dataset.refused] == ["C1_M1/day 1"] and file in dataset.refused[0].reason


def test_mice_are_the_folders(tmp_path):
    with pytest.raises(DataError, match="found no mice"):
        readers.read_multiple_maps(tmp_path)
    for mouse in ("C1_M1", "C2_M2"):
        for day in (1, 2):
            write_day(tmp_path / mouse / "Environment A", day)
    dataset = readers.read_multiple_maps(tmp_path)
    assert {(r.animal, r.session) for r in dataset.recordings} == {
        (mouse, f"day {day}") for mouse in ("C1_M1", "C2_M2") for day in (1, 2)}
    (tmp_path / "C3_M3" / "Environment A").mkdir(parents=True)
    with pytest.raises(DataError) as caught:
        readers.read_multiple_maps(tmp_path)
    assert_error(caught.value, "Environment A", "no day", "behavior_<day>.mat")


# --- Your own recordings ------------------------------------------------------------------------------------


def npz_content(**change):
    rng = np.random.default_rng(0)
    content = {"signal": rng.normal(size=(T, 4)), "rate_hz": 15.5, "animal": "Anna",
               "speed_cm_s": np.linspace(0, 1, T), "pupil": rng.normal(size=T)} | change
    return {name: value for name, value in content.items() if value is not None}


def test_npz_with_the_least_it_may_hold(tmp_path):
    np.savez(tmp_path / "monday.npz", **npz_content(pupil=None, speed_cm_s=None))
    recording = readers.read_npz(tmp_path / "monday.npz")
    assert (recording.id, recording.rate_hz, recording.notes) == ("Anna/monday", 15.5, ())
    assert recording.behaviour == {}


def test_npz_makes_the_run_label_from_speed_and_says_so(tmp_path):
    np.savez(tmp_path / "monday.npz", **npz_content())
    recording = readers.read_npz(tmp_path / "monday.npz")
    np.testing.assert_array_equal(recording.run, np.linspace(0, 1, T) > 0.5)
    assert recording.notes == ("run label made from speed > 0.5 cm/s",)
    assert set(recording.behaviour) == {"run", "speed_cm_s", "pupil"}


@given(n_frames=st.integers(1, 30), n_roi=st.integers(1, 5), seed=st.integers(0, 99), simulated=st.booleans(),
       text=st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=8))
def test_npz_round_trip(tmp_path_factory, n_frames, n_roi, seed, simulated, text):
    rng = np.random.default_rng(seed)
    before = Recording(rng.normal(size=(n_frames, n_roi)),
                       {"run": rng.integers(0, 2, n_frames), "wheel": rng.normal(size=n_frames)}, 12.5,
                       animal=f"a{text}", session="s", part=f"p{text}",
                       roi_names=tuple(f"r{i}" for i in range(n_roi)),
                       signal_unit="z", simulated=simulated, notes=("one", "two"))
    path = tmp_path_factory.mktemp("npz") / "file.npz"
    readers.write_npz(before, path)
    after = readers.read_npz(path)
    assert after.content_hash() == before.content_hash()
    for name in ("id", "roi_names", "signal_unit", "simulated", "notes"):
        assert getattr(after, name) == getattr(before, name)
    assert [p.name for p in path.parent.iterdir()] == ["file.npz"]


def test_npz_notes_do_not_grow_by_writing_and_reading(tmp_path):
    content = npz_content(run=np.linspace(0, 1, T) > 0.9)
    np.savez(tmp_path / "a.npz", **content)
    first = readers.read_npz(tmp_path / "a.npz")
    assert "disagree on 40 %" in first.notes[0]
    readers.write_npz(first, tmp_path / "b.npz")
    assert readers.read_npz(tmp_path / "b.npz").notes == first.notes


@pytest.mark.parametrize(("change", "found", "expected"), [
    ({"signal": None}, "no signal", "at least signal, rate_hz, animal"),
    ({"rate_hz": None, "animal": None}, "no rate_hz, animal", "at least"),
    ({"rate_hz": "fast"}, "fast", "one positive number"),
    ({"rate_hz": np.array([1, 2])}, "[1 2]", "one positive number"),
    ({"signal": np.zeros((4, T))}, "(4, 60)", "time on the first axis"),
    ({"pupil": np.zeros(T - 1)}, "59 values of 'pupil'", "equal lengths"),
    ({"pupil": np.array(["a"] * T)}, "'pupil' of type <U1", "real numbers"),
    ({"pupil": np.array([None] * T)}, "allow_pickle", "without Python objects"),
], ids=["no signal", "no rate", "rate in words", "two rates", "swapped", "short", "text", "objects"])
def test_bad_npz(tmp_path, change, found, expected):
    np.savez(tmp_path / "file.npz", **npz_content(**change))
    with pytest.raises(DataError) as caught:
        readers.read_npz(tmp_path / "file.npz")
    assert_error(caught.value, "file.npz", found, expected)


def test_missing_and_cut_npz(tmp_path):
    with pytest.raises(DataError, match=r"file\.npz: found no such file"):
        readers.read_npz(tmp_path / "file.npz")
    np.savez(tmp_path / "file.npz", **npz_content())
    cut(tmp_path / "file.npz")
    with pytest.raises(DataError) as caught:
        readers.read_npz(tmp_path / "file.npz")
    assert_error(caught.value, "file.npz", "cannot be read", "a whole .npz file")


def test_write_npz_refuses_names_it_could_not_read_back(tmp_path):
    clash = Recording(np.zeros((3, 1)), {"signal": np.zeros(3)}, 10, "a", "b")
    with pytest.raises(DataError) as caught:
        readers.write_npz(clash, tmp_path / "file.npz")
    assert_error(caught.value, "a/b", "signal", "names that the format does not use")
    with pytest.raises(DataError) as caught:
        readers.write_npz(Recording(np.zeros((3, 1)), {}, 10, "a", "b"), tmp_path / "file.dat")
    assert_error(caught.value, "file.dat", "'.dat'", ".npz")
    assert not list(tmp_path.iterdir())


HEADER = "# animal: Anna\n# rate_hz: 10\n# session: Monday\n"


def write_csv(path, header=HEADER, **change):
    rng = np.random.default_rng(0)
    columns = {"time_s": 5 + np.arange(T) / 10, "roi_V1": rng.normal(size=T), "roi_M1": rng.normal(size=T),
               "run": (np.arange(T) // 20) % 2, "wheel": rng.normal(size=T)} | change
    table = pd.DataFrame({name: values for name, values in columns.items() if values is not None})
    path.write_text(header + table.to_csv(index=False))
    return table


@pytest.mark.parametrize("header", [HEADER, "\ufeff" + HEADER, HEADER.replace("\n", ",,,,\r\n")],
                         ids=["plain", "byte order mark", "from a spreadsheet"])
def test_csv(tmp_path, header):
    table = write_csv(tmp_path / "file.csv", header)
    recording = readers.read_csv(tmp_path / "file.csv")
    np.testing.assert_array_equal(recording.signal, table[["roi_V1", "roi_M1"]].to_numpy(np.float32))
    np.testing.assert_array_equal(recording.run, table["run"])
    np.testing.assert_array_equal(recording.behaviour["wheel"], table["wheel"].to_numpy(np.float32))
    assert set(recording.behaviour) == {"run", "wheel"}
    assert (recording.id, recording.rate_hz, recording.roi_names) == ("Anna/Monday", 10, ("V1", "M1"))


def test_csv_by_frame_number_with_speed_only(tmp_path):
    write_csv(tmp_path / "tuesday.csv", "# animal: Anna\n# rate_hz: 10\n", time_s=None, run=None,
              speed_cm_s=np.linspace(0, 1, T))
    text = (tmp_path / "tuesday.csv").read_text().splitlines()
    lines = text[:2] + [f"{'frame' if i == 0 else i + 99},{line}" for i, line in enumerate(text[2:])]
    (tmp_path / "tuesday.csv").write_text("\n".join(lines))
    recording = readers.read_csv(tmp_path / "tuesday.csv")
    assert recording.id == "Anna/tuesday" and recording.run.sum() == T // 2
    assert recording.notes == ("run label made from speed > 0.5 cm/s",)


def test_csv_with_frames_missing_and_twice_masks_them_and_says_so(tmp_path):
    write_csv(tmp_path / "whole.csv")
    whole = readers.read_csv(tmp_path / "whole.csv")
    assert whole.stretches == ((0, T),) and whole.notes == ()
    np.testing.assert_allclose(whole.times_s, 5 + np.arange(T) / 10)
    number = np.r_[0:20, 23:42, 41, 42:62]  # 20 to 22 missing, 41 twice
    for name, clock, first in (("time_s", 5 + number / 10, 5), ("frame", number + 1, 0)):
        path = tmp_path / f"{name}.csv"
        write_csv(path, time_s=clock)
        path.write_text(path.read_text().replace("time_s", name))
        gap = readers.read_csv(path)
        assert gap.stretches == ((0, 20), (20, 39), (40, T)) and gap.n_frames == len(number)
        assert "3 frames missing in 1 breaks, the first before frame 20" in gap.notes[0]
        assert "1 repeated frames masked, the first 39" in gap.notes[1]
        np.testing.assert_allclose(gap.times_s, first + number / 10)


@pytest.mark.parametrize(("header", "change", "found", "expected"), [
    ("# rate_hz: 10\n", {}, "rate_hz", "'# animal:'"),
    ("", {}, "nothing", "'# animal:' and '# rate_hz:'"),
    ("# animal: Anna\n# rate_hz: ten\n", {}, "ten", "one positive number"),
    ("# animal: Anna\n# rate_hz: 0\n", {}, "0", "one positive number"),
    ("# animal: Anna\n# rate_hz: 20\n", {}, "0.1 s, 10 Hz", "0.05 s, 20 Hz"),
    (HEADER, {"time_s": None}, "roi_V1, roi_M1, run, wheel", "frame or time_s first"),
    (HEADER, {"roi_V1": None, "roi_M1": None}, "time_s, run, wheel", "start with roi_"),
    (HEADER, {"time_s": np.r_[np.arange(30), np.arange(30)] / 10}, "goes back from 2.9 to 0 s at frame 30", "in order"),
    (HEADER, {"time_s": np.r_[np.nan, np.arange(1, T)] / 10}, "1 not finite", "a finite number a frame"),
    (HEADER, {"roi_M1": ["n/a?"] * T}, "text in the column roi_M1", "numbers only"),
    (HEADER, {"roi_M1": [np.nan] + [1.0] * (T - 1)}, "frame 0, column 1", "finite"),
    (HEADER, {"run": np.full(T, 3)}, "3", "0 for rest and 1 for run"),
],
ids=["no animal", "no header", "rate in words", "no rate", "other rate", "no clock", "no ROI", "restart", "no time",
     "text", "empty cell", "label"])
def test_bad_csv(tmp_path, header, change, found, expected):
    write_csv(tmp_path / "file.csv", header, **change)
    with pytest.raises(DataError) as caught:
        readers.read_csv(tmp_path / "file.csv")
    assert_error(caught.value, "file.csv", found, expected)


@pytest.mark.parametrize(("text", "found"), [
    ("", "no line of column names"),
    (HEADER, "no line of column names"),
    (HEADER + "frame,roi_1,run\n", "no rows below"),
    (HEADER + "frame,roi_1,roi_1\n0,1,2\n", "two columns called roi_1"),
    (HEADER + "frame,roi_1\n0,1,2\n1,2,3\n", "cannot be read as a table"),
    (HEADER + "frame,roi_1\n0,\udcff\n", "cannot be read as a table"),
], ids=["empty", "header only", "no rows", "column twice", "more values than columns", "not UTF-8"])
def test_csv_that_is_no_table(tmp_path, text, found):
    (tmp_path / "file.csv").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(DataError) as caught:
        readers.read_csv(tmp_path / "file.csv")
    assert_error(caught.value, "file.csv", found, "comma-separated text")


def test_folder_of_files_is_a_data_set(tmp_path):
    for name in ("b", "a"):
        write_csv(tmp_path / f"{name}.csv", "# animal: Anna\n# rate_hz: 10\n")
    write_csv(tmp_path / "c.csv", "")
    dataset = readers.read("csv", tmp_path)
    assert [r.id for r in dataset.recordings] == ["Anna/a", "Anna/b"]
    assert [r.session for r in dataset.refused] == ["c.csv"]
    assert len(readers.read("csv", tmp_path / "a.csv").recordings) == 1
    with pytest.raises(DataError, match="'# animal:'"):
        readers.read("csv", tmp_path, strict=True)
    with pytest.raises(DataError) as caught:
        readers.read("npz", tmp_path)
    assert_error(caught.value, tmp_path.name, "no .npz files", "a .npz file for each session")


# --- By format and by name ----------------------------------------------------------------------------------


def test_unknown_format(tmp_path):
    with pytest.raises(ParameterError) as caught:
        readers.read("nwx", tmp_path)
    assert_error(caught.value, "format", "nwx", "study, isfn, multiple_maps, npz, csv")


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project of its own with a simulated and a recorded data set in its manifest."""
    (tmp_path / "data/wheel").mkdir(parents=True)
    write_isfn(tmp_path / "data/wheel")
    size = (tmp_path / "data/wheel/data_animal1.mat").stat().st_size
    common = "licence: MIT, role: test, caution: Careful."
    (tmp_path / "data_manifest.yaml").write_text(f"""
entries:
  toy: {{kind: simulated, world: paper_like, seed: 1, sessions_per_animal: 1, frames_per_session: 300, title:
  Toy,
    format: study, rate_hz: 25, regime: animal_pairs, {common}}}
  wheel: {{kind: repository, repository: some/thing, commit: {"a" * 40}, title: Wheel, folder: wheel, format:
  isfn,
    rate_hz: 10, regime: blocked, compare_with_study: true, {common},
    files: [{{path: a.mat, target: data_animal1.mat, bytes: {size}, sha256: {"a" * 64}}}]}}
  weights: {{kind: hub, hub: some_model, title: Weights, format: timm, {common}}}
""")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CALCIUM_DECODING_DATA", raising=False)
    return tmp_path


def test_load_marks_simulated_data_and_brings_the_caution(project):
    with pytest.raises(DataError, match="calcium-decoding data simulate toy"):
        readers.load("toy")
    simulation.ensure("toy")
    dataset = readers.load("toy")
    assert all(recording.simulated and recording.rate_hz == 25 for recording in dataset.recordings)
    assert (dataset.name, dataset.regime, dataset.compare_with_study) == ("toy", "animal_pairs", False)
    assert dataset.caution == "Careful."


def test_load_reads_recorded_data_from_the_data_directory(project):
    dataset = readers.load("wheel", project / "data")
    assert not dataset.simulated and dataset.compare_with_study
    assert (dataset.name, dataset.regime, len(dataset.recordings)) == ("wheel", "blocked", 1)


def test_load_refuses_what_is_no_recording(project):
    with pytest.raises(ParameterError) as caught:
        readers.load("weights")
    assert_error(caught.value, "weights", "timm", "study, isfn")


# --- The real data sets, where they are at hand -------------------------------------------------------------


def real(name):
    folder = os.environ.get("CALCIUM_DECODING_DATA")
    if not folder:
        pytest.skip("CALCIUM_DECODING_DATA is not set: no real data at hand")
    if not (Path(folder) / name).is_dir():
        pytest.skip(f"no {name} in CALCIUM_DECODING_DATA")
    return Path(folder) / name


def test_real_isfn():
    (recording,) = readers.read_isfn(real("isfn_widefield")).recordings
    assert recording.signal.shape == (4000, 48)
    assert set(recording.behaviour) == {"run", "pupil", "wheel", "whisking"}
    assert recording.run.mean() == pytest.approx(0.097, abs=0.0005)
    assert bouts(recording.run) == 9 and np.flatnonzero(recording.run).max() < 2642


@pytest.mark.slow
def test_real_multiple_maps():
    dataset = readers.read_multiple_maps(real("multiple_maps"))
    # Day 8 of C11_M1 does not align at all; the film of trial 6 of C6_M4's day 2 was interrupted.
    assert [r.session for r in dataset.refused] == ["C11_M1/day 8", "C6_M4/day 2/trial 6"]
    trials = {}
    for recording in dataset.recordings:
        trials.setdefault((recording.animal, recording.session), []).append(recording)
    assert len(trials) == 23
    four = {day: len(parts) for day, parts in trials.items() if len(parts) != 5}
    assert four == {("C7_M4", "day 8"): 4}  # its last trial was not scored
    for parts in trials.values():
        assert len({recording.n_roi for recording in parts}) == 1
        for recording in parts:
            assert 0.1 < recording.run.mean() < 0.35
