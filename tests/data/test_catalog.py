"""manifest.py: the shipped manifest is valid, errors are readable, no path leaves the data directory."""

import copy
import hashlib
import json
import os
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from calcium_decoding import cli
from calcium_decoding.data import catalog, download
from calcium_decoding.data.sets.entries import check_relative
from calcium_decoding.errors import DataError
from tests.conftest import ROOT

CONTENT = b"ten bytes!"
DATA = {"title": "t", "licence": "l", "role": "r", "format": "study", "rate_hz": 30, "regime": "blocked"}
WEIGHTS = {"kind": "weights", "title": "t", "licence": "l", "role": "r", "format": "f"}
ENTRIES = {
    "record": DATA | {
        "kind": "doi", "doi": "10.5281/zenodo.42", "folder": "record",
        "files": [{"patterns": ["signal*.mat"], "format": "MATLAB", "role": "traces"},
                  {"patterns": ["extra*"], "format": "any", "role": "extra", "required": False}],
    },
    "repo": DATA | {
        "kind": "repository", "repository": "lab/mice", "commit": "0" * 40, "folder": "repo",
        "files": [{"path": f"Data/{name}", "target": name, "bytes": len(CONTENT),
                   "sha256": hashlib.sha256(CONTENT).hexdigest()} for name in ("a b.mat", "sub/c.mat")],
    },
    "made": DATA | {
        "kind": "simulated", "world": "paper_like", "seed": 1, "sessions_per_animal": 2,
        "frames_per_session": 300,
    },
    "packed": WEIGHTS | {
        "package": "some-weights", "version": "1.0", "member": "*.pth", "target": "w.pth", "bytes": 3,
        "sha256": "a" * 64, "folder": "weights",
    },
    "hub": WEIGHTS | {"kind": "hub", "hub": "net.in1k"},
}


def write(folder, entries=ENTRIES):
    path = folder / "data_manifest.yaml"
    path.write_text(yaml.safe_dump({"entries": entries}))
    return path


@pytest.fixture
def known(tmp_path):
    return catalog.load_manifest(write(tmp_path))


@pytest.fixture
def store(tmp_path):
    """A data directory with both files of the entry ``repo``."""
    store = tmp_path / "store"
    (store / "repo" / "sub").mkdir(parents=True)
    for name in ("a b.mat", "sub/c.mat"):
        (store / "repo" / name).write_bytes(CONTENT)
    return store


# The shipped manifest


def test_the_shipped_manifest_is_valid():
    shipped = catalog.load_manifest(ROOT / "data_manifest.yaml")
    assert {"zenodo-10408334", "isfn-widefield", "multiple-maps", "simulated", "simulated-small",
            "efficientnet-lite0", "efficientnet-b0-imagenet"} <= set(shipped.entries)
    assert [name for name in shipped.entries if shipped.entry(name).compare_with_study] == ["zenodo-10408334"]
    for name in shipped.entries:
        entry = shipped.entry(name)
        assert entry.caution and entry.licence, f"{name} lacks a caution or a licence"
        if entry.kind == "simulated":
            assert "imulated" in entry.title and "Simulated" in entry.caution


def test_the_shipped_manifest_names_no_place_of_one_machine():
    text = (ROOT / "data_manifest.yaml").read_text()
    assert not re.search(r"(?<![\w.])/(work|home|root|tmp|mnt|opt)\b|\.\./|file:|https?:", text)


def test_the_real_recordings_are_the_ones_pinned():
    place = os.environ.get("CALCIUM_DECODING_DATA")
    shipped = catalog.load_manifest(ROOT / "data_manifest.yaml")
    entries = [entry for entry in shipped.entries.values() if entry.kind == "repository"]
    there = [entry for entry in entries if place and download.status(entry) == "present"]
    if not there:
        pytest.skip("CALCIUM_DECODING_DATA is not set, or the folder holds no recording of the manifest")
    for entry in there:
        findings = download.verify(entry)
        assert len(findings) == len(entry.files)
        assert [f for f in findings if f.state != "ok"] == []


# Readable errors


def broken(name, field, value):
    entries = copy.deepcopy(ENTRIES)
    place = entries[name]
    *parents, last = field.split(".")
    for key in parents:
        place = place[int(key) if key.isdigit() else key]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return entries


@pytest.mark.parametrize("name, field, value, found, expected", [
    ("repo", "commit", "abc", "'abc'", "40 hexadecimal digits"),
    ("repo", "files.1.sha256", "F" * 64, "FFFF", "64 hexadecimal digits"),
    ("repo", "files.0.bytes", 0, "0", "greater than 0"),
    ("repo", "repository", "https://host/lab/mice", "https://host", "owner/name"),
    ("repo", "licence", None, "no such field", "given"),
    ("repo", "licens", "MIT", "not known", "misspelt"),
    ("repo", "regime", "random", "'random'", "animal_pairs"),
    ("repo", "rate_hz", float("inf"), "inf", "finite"),
    ("made", "seed", -1, "-1", "greater than or equal to 0"),
    ("record", "doi", "10.1371/journal.pcbi.1011074", "10.1371", "10.5281/zenodo.NUMBER"),
    ("record", "files", [], "[]", "at least 1"),
    ("packed", "hub", "net.in1k", "not known", "misspelt"),
    ("packed", "sha256", None, "no such field", "given"),
])
def test_an_error_names_file_entry_field_found_and_expected(tmp_path, name, field, value, found, expected):
    path = write(tmp_path, broken(name, field, value))
    with pytest.raises(DataError) as raised:
        catalog.load_manifest(path)
    error = raised.value
    assert str(path) in error.where and f"entry '{name}'" in error.where
    assert field in error.where
    assert found in error.found and expected in error.expected and error.remedy


def test_an_unknown_kind_lists_the_kinds(tmp_path):
    kinds = "'doi', 'dandi', 'repository', 'simulated', 'local', 'weights', 'hub'"
    with pytest.raises(DataError, match=rf"kind 'ftp'.*{kinds}"):
        catalog.load_manifest(write(tmp_path, broken("repo", "kind", "ftp")))


def test_one_target_twice_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"sub/c\.mat is named twice"):
        catalog.load_manifest(write(tmp_path, broken("repo", "files.0.target", "sub/C.mat")))


@pytest.mark.parametrize("text, found", [
    ("entries: {a: 1, a: 2}", "'a' is there twice"),
    ("entries: [", "flow node"),
    ("- a list", "a list"),
    ("", "None"),
    ("entries: {}\nextra: 1", "not known"),
    ("entries: {Bad Name: {kind: doi}}", "Bad Name"),
])
def test_a_file_of_another_form(tmp_path, text, found):
    path = tmp_path / "data_manifest.yaml"
    path.write_text(text)
    with pytest.raises(DataError, match=re.escape(found)) as raised:
        catalog.load_manifest(path)
    assert str(path) in raised.value.where


def test_no_file(tmp_path):
    with pytest.raises(DataError, match="No such file"):
        catalog.load_manifest(tmp_path / "data_manifest.yaml")


def test_an_unknown_entry_lists_the_known_and_the_closest(known):
    with pytest.raises(DataError) as raised:
        known.entry("recrod")
    assert all(name in raised.value.expected for name in ENTRIES)
    assert raised.value.remedy == "did you mean 'record'?"


# Paths


PATHS_OUT = ["/etc/passwd", "..", "../x", "a/../../x", "a/..", "C:/x", "C:x", "c:\\x", "\\\\host\\share",
             "a\\..\\b", "", ".", "./a", "a//b", "a/", "a\0b", "a\nb"]
PATH_FIELDS = [("repo", "folder"), ("repo", "files.0.target"), ("repo", "files.0.path"), ("record", "folder"),
               ("packed", "target"), ("packed", "folder")]


@pytest.mark.parametrize("path", PATHS_OUT)
@pytest.mark.parametrize("name, field", PATH_FIELDS)
def test_a_path_that_leaves_is_refused_on_reading(tmp_path, path, name, field):
    with pytest.raises(DataError, match=f"field {field}.*stays inside the data directory"):
        catalog.load_manifest(write(tmp_path, broken(name, field, path)))


tricky = st.sampled_from(["..", ".", "", "a", "b c", "C:", "~", "\\", "é", "a.mat", "/", "\0"])
ordinary = st.text("abcXYZ019 ._-é", min_size=1).filter(lambda part: part not in (".", ".."))


@given(st.lists(tricky | st.text(), max_size=5))
def test_a_path_that_is_let_through_stays_inside(parts):
    path = "/".join(parts)
    try:
        check_relative(path)
    except ValueError:
        return
    base = "/nowhere/data"
    joined = os.path.normpath(os.path.join(base, path))  # lexical, by another road than check_relative
    assert joined.startswith(base + "/") and "\\" not in path
    assert catalog.inside(base, path, "test") == Path(joined)


@given(st.lists(ordinary, min_size=1, max_size=4))
def test_an_ordinary_path_is_let_through(parts):
    path = "/".join(parts)
    assert check_relative(path) == path


def test_a_link_out_of_the_data_directory_is_refused(known, store, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    (store / "repo").rename(elsewhere)
    (store / "repo").symlink_to(elsewhere)
    with pytest.raises(DataError, match=f"leads to {elsewhere}"):
        catalog.folder(known.entry("repo"), store)


def test_a_link_inside_an_entry_is_refused(known, store, tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(CONTENT)
    (store / "repo" / "a b.mat").unlink()
    (store / "repo" / "a b.mat").symlink_to(secret)
    for look in (download.status, download.verify, download.require):
        with pytest.raises(DataError, match="secret"):
            look(known.entry("repo"), store)


def test_a_loop_of_links_is_refused(known, store):
    (store / "record").symlink_to(store / "record")
    with pytest.raises(DataError):
        download.require(known.entry("record"), store)


def test_the_data_directory_itself_may_be_a_link(known, store, tmp_path):
    (tmp_path / "link").symlink_to(store)
    assert download.require(known.entry("repo"), tmp_path / "link") == tmp_path / "link" / "repo"


# Places


def test_the_data_directory_is_option_then_variable_then_project(monkeypatch, tmp_path):
    write(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CALCIUM_DECODING_DATA", "/from/variable")
    assert catalog.data_dir("/from/option") == Path("/from/option")
    assert catalog.data_dir() == Path("/from/variable")
    monkeypatch.setenv("CALCIUM_DECODING_DATA", "")
    assert catalog.data_dir() == tmp_path / "data"
    monkeypatch.setenv("HOME", "/home/someone")
    assert catalog.data_dir("~/x") == Path("/home/someone/x")


def test_the_project_is_the_nearest_above_the_working_directory(monkeypatch, tmp_path):
    deep = tmp_path / "book" / "chapter"
    deep.mkdir(parents=True)
    write(tmp_path)
    monkeypatch.chdir(deep)
    assert catalog.project_root() == tmp_path
    assert set(catalog.load_manifest().entries) == set(ENTRIES)


def test_without_one_above_it_is_the_project_of_this_library(monkeypatch):
    monkeypatch.chdir("/")
    assert (catalog.project_root() / "lib" / "calcium_decoding").is_dir()


def test_simulated_sets_lie_in_the_build_folder_under_a_name_of_their_settings(tmp_path):
    def place(**change):
        entries = {"made": ENTRIES["made"] | change}
        return catalog.folder(catalog.load_manifest(write(tmp_path, entries)).entry("made"), "/read/only")

    first = place()
    assert first.parent == tmp_path / "_build" / "simulated" and first.name.startswith("made-")
    assert place(title="another", caution="new") == first
    changes = [{"seed": 2}, {"frames_per_session": 301}, {"settings": {"noise": 1.0}}, {"world": "no_link"}]
    assert len({first, *(place(**change) for change in changes)}) == 5


# What is there


def states(entry, store):
    return [(finding.file, finding.state) for finding in download.verify(entry, store)]


def test_status_verify_and_require_of_files(known, store):
    repo = known.entry("repo")
    assert download.status(repo, store) == "present"
    assert download.require(repo, store) == store / "repo"
    assert states(repo, store) == [("a b.mat", "ok"), ("sub/c.mat", "ok")]

    (store / "repo" / "sub" / "c.mat").write_bytes(b"ten bytes?")
    finding = download.verify(repo, store)[1]
    assert finding.state == "checksum mismatch"
    assert finding.found == "sha256:" + hashlib.sha256(b"ten bytes?").hexdigest()
    assert finding.expected == "sha256:" + hashlib.sha256(CONTENT).hexdigest()

    (store / "repo" / "sub" / "c.mat").write_bytes(b"short")
    assert download.status(repo, store) == "incomplete"
    assert download.verify(repo, store)[1].found == "5 bytes"

    (store / "repo" / "sub" / "c.mat").unlink()
    assert download.status(repo, store) == "incomplete"
    assert download.verify(repo, store)[1].state == "missing"
    with pytest.raises(DataError, match=r"incomplete.*`calcium-decoding data fetch repo`.*_DECODING_DATA"):
        download.require(repo, store)


@pytest.mark.parametrize("name, verb", [("record", "fetch"), ("made", "simulate"), ("hub", "fetch")])
def test_what_is_missing_gives_the_command_that_gets_it(known, store, name, verb):
    with pytest.raises(DataError, match=f"missing.*`calcium-decoding data {verb} {name}`"):
        download.require(known.entry(name), store)


def test_a_simulated_set_is_there_once_its_files_are_listed(known):
    made = known.entry("made")
    place = catalog.folder(made)
    (place / "data_of_signal_64_5mice").mkdir(parents=True)
    assert download.status(made) == "incomplete" and download.verify(made)[0].state == "missing"
    (place / "data_64_5mice.csv").write_text("Data_ID\n")
    assert download.status(made) == "incomplete"
    download.list_files(made)
    assert download.status(made) == "present" and download.require(made) == place


def test_files_of_a_record_put_there_by_hand_count_by_their_names(known, store):
    record = known.entry("record")
    (store / "record" / "part").mkdir(parents=True)
    (store / "record" / "readme.txt").write_text("x")
    assert download.status(record, store) == "incomplete"
    assert [f.state for f in download.verify(record, store)] == ["missing"]
    (store / "record" / "part" / "signal_5mice.mat").write_text("x")
    assert download.status(record, store) == "present"
    assert states(record, store) == [("part/signal_5mice.mat", "unpinned")]


def test_the_list_says_what_a_reader_asks_first(known, store, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["data", "list", "--data-dir", str(store)]) == 0
    head, *rows = (line.split() for line in capsys.readouterr().out.splitlines())
    assert head == ["name", "kind", "role", "licence", "bytes", "status"]
    rows = {row[0]: row[1:] for row in rows}
    assert list(rows) == list(known.entries) and rows["repo"] == ["repository", "r", "l", "20", "present"]
    assert rows["record"] == ["doi", "r", "l", "missing"] and rows["packed"] == ["weights", "r", "l", "3", "missing"]


@pytest.mark.parametrize("text", ["{", "[]", '{"record": []}', '{"10.5281/zenodo.42": {"files": []}}', b"\xff",
                                  json.dumps({"10.5281/zenodo.42": [
                                      {"target": "../x", "bytes": 1, "checksum": "md5:" + "0" * 32}]})])
def test_a_damaged_lock_file_is_named(known, tmp_path, text):
    (tmp_path / "data_manifest.lock.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DataError, match=r"data_manifest\.lock\.json"):
        download.status(known.entry("record"), tmp_path)


def test_own_recordings_are_there_once_their_folder_has_files(tmp_path, store):
    own = {"mine": {"kind": "local", "title": "t", "format": "npz", "folder": "mine", "regime": "blocked"}}
    entry = catalog.load_manifest(write(tmp_path, own)).entry("mine")
    assert download.status(entry, store) == "missing"
    assert download.verify(entry, store)[0].state == "missing"
    with pytest.raises(DataError, match="put them there, or name the folder above it by --data-dir"):
        download.require(entry, store)
    with pytest.raises(DataError, match="recordings of your own"):
        download.fetch(entry, store)
    (store / "mine").mkdir(parents=True)
    (store / "mine" / "a.npz").write_bytes(CONTENT)
    assert download.status(entry, store) == "present" and download.require(entry, store) == store / "mine"
    assert [(f.file, f.state) for f in download.verify(entry, store)] == [("a.npz", "unpinned")]
