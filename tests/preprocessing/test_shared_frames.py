"""Shared frames: what a pipeline gives, once on disk; stale, cut or foreign files are never taken for it."""

import multiprocessing
import os
from dataclasses import replace

import numpy as np
import pytest

from calcium_decoding import preprocessing
from calcium_decoding.errors import DataError, WriteError
from calcium_decoding.preprocessing import shared_frames
from calcium_decoding.preprocessing.shared_frames import share

RECIPE = {"name": "published", "rate_hz": 30.0, "baseline_frames": 50}


def files(folder):
    return sorted(folder.glob("[!.]*.npy"))


def test_signals_and_preprocessed_frames_are_those_of_each_recording(tiny_dataset, tmp_path):
    pipeline = preprocessing.build(**RECIPE)
    with share(tiny_dataset.recordings, tmp_path) as signals:
        frames = signals.preprocessed(RECIPE)
        assert list(signals) == [r.id for r in tiny_dataset.recordings]
        for r in tiny_dataset.recordings:
            np.testing.assert_array_equal(signals[r.id], r.signal)
            np.testing.assert_array_equal(frames[slice(*signals.rows[r.id])], pipeline.transform(r.signal))
    assert frames.dtype == np.float32 and isinstance(frames, np.memmap)
    assert frames.shape == (sum(r.n_frames for r in tiny_dataset.recordings), 5)


def test_nobody_changes_what_is_shared(tiny_dataset, tmp_path):
    with share(tiny_dataset.recordings, tmp_path) as signals:
        first = tiny_dataset.recordings[0]
        signals[first.id][:] = 7
        np.testing.assert_array_equal(signals[first.id], first.signal)


def test_files_are_made_once_and_another_signal_or_recipe_has_its_own(tiny_dataset, tmp_path):
    recordings = tiny_dataset.recordings
    for _ in range(2):
        with share(recordings, tmp_path) as signals:
            signals.preprocessed(RECIPE)
        assert len(files(tmp_path)) == 2
    stamps = {path: path.stat().st_ino for path in files(tmp_path)}
    changed = recordings[0].signal.copy()
    changed[7, 2] += 1e-3
    with share((replace(recordings[0], signal=changed), *recordings[1:]), tmp_path) as signals:
        assert signals[recordings[0].id][7, 2] == changed[7, 2]
        signals.preprocessed(RECIPE)
        signals.preprocessed({**RECIPE, "baseline_frames": 51})
    assert len(files(tmp_path)) == 5
    assert all(path.stat().st_ino == inode for path, inode in stamps.items())


def test_behaviour_is_no_part_of_it_so_nulls_share_the_frames(tiny_dataset, tmp_path):
    rest = [replace(r, behaviour={"run": np.zeros(r.n_frames)}) for r in tiny_dataset.recordings]
    for recordings in (tiny_dataset.recordings, rest):
        with share(recordings, tmp_path):
            assert len(files(tmp_path)) == 1


@pytest.mark.parametrize("damage", [b"", b"no array", None])
def test_a_damaged_file_is_made_again(tiny_dataset, tmp_path, damage):
    with share(tiny_dataset.recordings, tmp_path) as signals:
        frames = np.array(signals.preprocessed(RECIPE))
    for path in files(tmp_path):
        path.write_bytes(path.read_bytes()[:-100] if damage is None else damage)
    with share(tiny_dataset.recordings, tmp_path) as signals:
        np.testing.assert_array_equal(signals.preprocessed(RECIPE), frames)


def test_different_numbers_of_rois_are_not_laid_together(tiny_dataset, tmp_path):
    one, two = tiny_dataset.recordings[:2]
    narrow = replace(two, signal=two.signal[:, :3], roi_names=())
    with share([one, narrow], tmp_path) as signals:
        assert signals == {one.id: one.signal, two.id: narrow.signal} and not files(tmp_path)


def test_what_preprocessing_refuses_leaves_no_file(tiny_dataset, tmp_path):
    flat = [replace(r, signal=np.zeros_like(r.signal)) for r in tiny_dataset.recordings]
    with share(flat, tmp_path) as signals:
        with pytest.raises(DataError, match="constant ROI"):
            signals.preprocessed(RECIPE)
        assert len(files(tmp_path)) == 1 and not list(tmp_path.glob(".*.npy"))


def test_a_folder_that_cannot_be_written_is_named(tiny_dataset, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises((WriteError, OSError), match="file"), share(tiny_dataset.recordings, tmp_path / "file" / "x"):
        pass


def test_old_files_go_when_the_folder_grows_but_not_those_in_use(tiny_dataset, tmp_path, monkeypatch):
    size = sum(r.signal.nbytes for r in tiny_dataset.recordings)
    monkeypatch.setattr(shared_frames, "KEEP_BYTES", 3.5 * size)
    (tmp_path / ".killed-1234.npy").write_bytes(b"what a killed process left")
    with share(tiny_dataset.recordings, tmp_path) as signals:
        raw = files(tmp_path)[0]
        os.utime(raw, (0, 0))  # the oldest of all, and in use
        mapped = signals.preprocessed(RECIPE)
        second = np.array(mapped)
        for n in (51, 52, 53, 54):
            signals.preprocessed({**RECIPE, "baseline_frames": n})
            assert raw in files(tmp_path) and len(files(tmp_path)) <= 3
        np.testing.assert_array_equal(mapped, second)  # who had it mapped still has it
        np.testing.assert_array_equal(signals.preprocessed(RECIPE), second)  # made again
    assert not list(tmp_path.glob(".*.npy"))
    monkeypatch.setattr(shared_frames, "KEEP_BYTES", 0)
    with share(tiny_dataset.recordings[:1], tmp_path):
        assert len(files(tmp_path)) == 1 and raw not in files(tmp_path)  # nobody holds the others any more


def make_frames(folder, recordings, barrier):
    barrier.wait()
    with share(recordings, folder) as signals:
        signals.preprocessed(RECIPE)


def test_processes_that_start_at_once_agree(tiny_dataset, tmp_path):
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(4)
    workers = [context.Process(target=make_frames, args=(tmp_path, tiny_dataset.recordings, barrier)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * 4 and len(files(tmp_path)) == 2
    assert not list(tmp_path.glob(".*.npy"))
