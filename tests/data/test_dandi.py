"""Sets of DANDI against a server on the loopback that answers as the archive's API is documented to."""

import hashlib
import json
from types import SimpleNamespace

import numpy as np
import pytest

import calcium_decoding as cd
from calcium_decoding.data import catalog, download, readers
from calcium_decoding.data.sets import dandi
from calcium_decoding.errors import DataError
from tests.conftest import ROOT
from tests.data.test_download import Server, held, load

SET = {"kind": "dandi", "dandiset": "001425", "version": "latest", "containing": ["behavior", "task"], "title": "t",
       "licence": "l", "role": "r", "format": "nwb", "folder": "braidyn", "regime": "blocked"}
FILES = {"sub-1/sub-1_ses-1_task-a_behavior+ophys.nwb": b"one" * 5000, "sub-1/sub-1_ses-2_rest_behavior.nwb": b"rest",
         "sub-2/sub-2_ses-1_task-a_behavior+ophys.nwb": b"two" * 70_000, "sub-2/task_behavior.csv": b"x,y\n"}
WANTED = {path: content for path, content in FILES.items() if "task" in path and path.endswith(".nwb")}
LIST = "/dandisets/001425/versions/0.250101.1200/assets/"


@pytest.fixture
def archive():
    """The server, with two pages of assets."""
    server = Server()
    assets = [{"asset_id": f"id-{i}", "blob": f"blob-{i}", "zarr": None, "path": path, "size": len(content)}
              for i, (path, content) in enumerate(FILES.items())]
    second = f"{LIST}?order=path&page=2&page_size=1000"
    pages = {"/dandisets/001425/": {"identifier": "001425", "most_recent_published_version": {
        "version": "0.250101.1200"}},
             f"{LIST}?page_size=1000&order=path": {"count": 4, "next": server.url + second, "previous": None,
                                                   "results": assets[2:]},
             second: {"count": 4, "next": None, "previous": None, "results": assets[:2]}}
    for asset, content in zip(assets, FILES.values(), strict=True):
        pages[f"/assets/{asset['asset_id']}/"] = {
            "path": asset["path"], "contentSize": len(content), "contentUrl": [server.url],
            "digest": {"dandi:dandi-etag": "x", "dandi:sha2-256": hashlib.sha256(content).hexdigest()}}
        server.pages[f"/assets/{asset['asset_id']}/download/"] = content
    server.pages |= {path: json.dumps(page).encode() for path, page in pages.items()}
    yield server
    server.close()


def entry_of(folder, server, **more):
    return load(folder, braidyn=SET | {"api": server.url} | more).entry("braidyn")


def change(server, path, **fields):
    server.pages[path] = json.dumps(json.loads(server.pages[path]) | fields).encode()


def test_a_fetch_brings_the_chosen_assets_and_pins_them(archive, tmp_path):
    entry, store = entry_of(tmp_path, archive), tmp_path / "store"
    assert download.status(entry, store) == "missing"
    assert download.fetch(entry, store) == store / "braidyn"
    assert held(store / "braidyn") == WANTED and download.status(entry, store) == "present"
    lock = json.loads((tmp_path / "data_manifest.lock.json").read_text())
    assert {one["target"]: one["bytes"] for one in lock["dandi:001425@latest"]} == {
        path: len(content) for path, content in WANTED.items()}
    archive.asked.clear()
    download.fetch(entry, store)
    assert archive.asked == []  # all is here
    change(archive, "/assets/id-0/", digest={"dandi:sha2-256": "0" * 64})
    (store / "braidyn" / next(iter(WANTED))).unlink()
    with pytest.raises(DataError, match=r"changed since it was pinned.*task-a.*dandi:001425@latest"):
        download.fetch(entry, store)


def test_what_breaks_off_leaves_nothing_and_goes_on(archive, tmp_path):
    entry, store = entry_of(tmp_path, archive), tmp_path / "store"
    archive.cut.add("/assets/id-2/download/")
    with pytest.raises(DataError, match="sub-2"):
        download.fetch(entry, store)
    first = next(iter(WANTED))
    assert held(store / "braidyn") == {first: WANTED[first]} and download.status(entry, store) == "incomplete"
    archive.cut.clear()
    archive.asked.clear()
    download.fetch(entry, store)
    assert held(store / "braidyn") == WANTED
    assert [path for path in archive.asked if "download" in path] == ["/assets/id-2/download/"]
    archive.pages["/assets/id-0/download/"] = b"others"
    (store / "braidyn" / first).unlink()
    with pytest.raises(DataError, match="the source changed"):
        download.fetch(entry, store)
    assert first not in held(store / "braidyn")


@pytest.mark.parametrize(("path", "fields", "says"), [
    ("/assets/id-0/", {"digest": {"dandi:dandi-etag": "x"}}, "has not finished"),
    ("/assets/id-0/", {"contentSize": 3}, "3 bytes.*15000 bytes"),
    (f"{LIST}?page_size=1000&order=path", {"results": [{"path": "x"}]}, "not the archive's"),
    ("/dandisets/001425/", {"most_recent_published_version": []}, "not the archive's")])
def test_answers_that_do_not_fit_are_refused(archive, tmp_path, path, fields, says):
    change(archive, path, **fields)
    with pytest.raises(DataError, match=rf"dandiset 001425.*{says}"):
        download.fetch(entry_of(tmp_path, archive), tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_an_archive_out_of_reach_and_paths_that_choose_nothing(archive, tmp_path):
    entry = entry_of(tmp_path, archive, containing=["sleep"])
    with pytest.raises(DataError, match=r"none of 4 paths like \*\.nwb with sleep"):
        dandi.chosen(entry)
    entry = entry_of(tmp_path, archive, version="0.999999.9999")
    with pytest.raises(DataError, match="the answer 404"):
        dandi.chosen(entry)
    archive.pages["/dandisets/001425/"] = b"<html>maintenance</html>"
    with pytest.raises(DataError, match="not the archive's"):
        dandi.chosen(entry_of(tmp_path, archive))
    entry = entry_of(tmp_path, SimpleNamespace(url="http://127.0.0.1:9"))
    with pytest.raises(DataError, match=r"no connection to http://127.0.0.1:9.*by hand"):
        download.fetch(entry, tmp_path / "store")
    with pytest.raises(DataError, match="data fetch braidyn"):
        download.require(entry, tmp_path / "store")


def test_a_set_is_streamed_by_the_address_of_each_asset(archive, tmp_path, monkeypatch):
    asked = []

    def read_nwb(address, **options):  # stands for the reader of NWB, which is tested by itself
        asked.append((address, options))
        return cd.Recording(np.zeros((9, 1)), {}, 30.0, "a", f"s{len(asked)}")

    monkeypatch.setattr(readers, "read_nwb", read_nwb, raising=False)
    entry = entry_of(tmp_path, archive, options={"series": "dFF"})
    dataset = readers.load_entry(entry, stream=True)
    assert dataset.name == "braidyn" and len(dataset.recordings) == 2
    assert asked == [(f"{archive.url}/assets/id-{i}/download/", {"series": "dFF"}) for i in (0, 2)]
    assert len(readers.load_entry(entry, stream=True, only="sub-2/*").recordings) == 1


def test_the_sets_of_the_project_choose_what_they_should():
    known = catalog.load_manifest(ROOT / "data_manifest.yaml").entries
    assert [name for name, entry in known.items() if entry.kind == "dandi"] == [
        "braidyn-bc", "dandi-treadmill", "dandi-running"]
    assert [path for path in FILES if known["braidyn-bc"].chooses(path)] == list(WANTED)
    assert known["braidyn-bc"].licence == "CC-BY-4.0"
