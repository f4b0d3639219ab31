"""Files that runs keep and read again: damaged ones are made again, with a word, and give the same numbers."""

import shutil
import warnings

import numpy as np
import pytest
import tifffile
import torch

import calcium_decoding as cd
from calcium_decoding.data import catalog, download
from calcium_decoding.data.movies import Movie, mappable
from calcium_decoding.errors import DataError
from calcium_decoding.evaluation.cards import ResultCard
from calcium_decoding.models import loop
from calcium_decoding.preprocessing.shared_frames import share
from calcium_decoding.simulation import datasets

DAMAGE = {
    "empty": lambda content: b"",
    "cut short": lambda content: content[:len(content) // 2],
    "zeros, as a power cut leaves": lambda content: bytes(len(content)),
    "one bit": lambda content: content[:-200] + bytes([content[-200] ^ 1]) + content[-199:],
    "of another version": lambda content: b"version 0\n" + content,
}
damaged = pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)


def harm(path, damage):
    path.write_bytes(damage(path.read_bytes()))


@damaged
def test_shared_frames(tmp_path, tiny_dataset, damage):
    with share(tiny_dataset.recordings, tmp_path) as signals:
        (path,) = tmp_path.glob("*.npy")
    harm(path, damage)
    with pytest.warns(UserWarning, match="made again"), share(tiny_dataset.recordings, tmp_path) as signals:
        for recording in tiny_dataset.recordings:
            np.testing.assert_array_equal(signals[recording.id], recording.signal)


@damaged
def test_a_run_after_damage_to_all_that_was_kept_has_the_same_scores(tmp_path, tiny_dataset, damage):
    experiment = cd.Experiment(tiny_dataset, decoders=["logistic"])

    def scores():
        return [fold.scores["auc"] for fold in experiment.run(store=tmp_path, jobs=1)]

    first, kept = scores(), [path for path in tmp_path.rglob("*") if path.suffix in (".npy", ".npz")]
    assert {path.suffix for path in kept} == {".npy", ".npz"}
    for path in kept:
        harm(path, damage)
    with pytest.warns(UserWarning, match="made again"):
        assert scores() == first


@damaged
def test_a_converted_movie(tmp_path, damage):
    frames = np.random.default_rng(0).integers(0, 4000, (40, 16, 16)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", frames, photometric="minisblack", compression="zlib")
    copy, _ = mappable(Movie(tmp_path / "a.tif"), tmp_path / "copies")
    harm(copy.path, damage)
    with pytest.warns(UserWarning, match=r"a\.tif is converted again"):
        again, _ = mappable(Movie(tmp_path / "a.tif"), tmp_path / "copies")
    np.testing.assert_array_equal(again[:], frames)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mappable(Movie(tmp_path / "a.tif"), tmp_path / "copies")


@damaged
def test_weights(tmp_path, damage):
    network, other = torch.nn.Linear(40, 3), torch.nn.Linear(40, 3)
    loop.save_weights(tmp_path / "w.safetensors", network, loop.History([1.0], [1.0], 0))
    assert loop.load_weights(tmp_path / "w.safetensors", other).best_epoch == 0
    torch.testing.assert_close(other.weight, network.weight)
    harm(tmp_path / "w.safetensors", damage)
    assert loop.load_weights(tmp_path / "w.safetensors", other) is None  # they are trained again


def test_every_bit_of_weights_counts(tmp_path):
    path, network = tmp_path / "w.safetensors", torch.nn.Linear(4, 2)
    loop.save_weights(path, network, loop.History([1.0], [1.0], 0))
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 16]) + whole[at + 1:])
        assert loop.load_weights(path, torch.nn.Linear(4, 2)) is None, at


@pytest.fixture
def simulated_set(tmp_path, monkeypatch):
    """A small simulated set, made in a project of its own."""
    shutil.copy(catalog.project_root() / "data_manifest.yaml", tmp_path)
    monkeypatch.setattr(catalog, "project_root", lambda: tmp_path)
    folder = datasets.ensure("simulated-footsteps-small")
    return folder, cd.load_dataset("simulated-footsteps-small").content_hash()


@damaged
def test_a_simulated_set(simulated_set, damage):
    folder, content = simulated_set
    entry = catalog.load_manifest().entry("simulated-footsteps-small")
    assert {f.state for f in download.verify(entry)} == {"ok"}
    path = sorted(folder.rglob("*.mat"))[0]
    harm(path, damage)
    assert [f.state for f in download.verify(entry)].count("checksum mismatch") == 1
    with pytest.warns(UserWarning, match="simulated again"):
        assert cd.load_dataset("simulated-footsteps-small").content_hash() == content
    path.unlink()
    assert download.status(entry) == "incomplete"
    assert cd.load_dataset("simulated-footsteps-small").content_hash() == content


@damaged
def test_a_card(tmp_path, damage):
    stored = catalog.project_root() / "book" / "stored" / "12_regions.card.json"
    card = ResultCard.load(stored)
    card.save(tmp_path / "a.card.json")
    assert ResultCard.load(tmp_path / "a.card.json") == card
    harm(tmp_path / "a.card.json", damage)
    with pytest.raises(DataError, match="run the chapter again"):
        ResultCard.load(tmp_path / "a.card.json")
