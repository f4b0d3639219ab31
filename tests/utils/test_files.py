"""files.py: a file is there whole or as it was before, whatever goes wrong; digests are right."""

import errno
import json
import os
import resource
import signal
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from calcium_decoding.errors import CalciumDecodingError, WriteError
from calcium_decoding.utils.files import file_digest, hash_content, source_digest, whole_file, write_json, write_text


def only(folder):
    """Names in a folder, hidden ones too: a forgotten temporary file shows here."""
    return sorted(path.name for path in folder.iterdir())


def in_a_child(action):
    """Run ``action`` in a forked child and return what it returned as text, or the exception's name."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:  # never leaves this block, so that pytest does not run twice
        try:
            said = str(action())
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"
        os.write(write, said.encode()[:4000])
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    return said


def test_the_file_is_there_whole_and_alone(tmp_path):
    target = tmp_path / "new" / "folder" / "note.txt"
    write_text(target, "naïve\n")
    assert target.read_bytes() == b"na\xc3\xafve\n"
    assert only(target.parent) == ["note.txt"]


def test_an_ordinary_file_with_the_users_own_permissions(tmp_path):
    former = os.umask(0o027)
    try:
        write_text(tmp_path / "note.txt", "x")
    finally:
        os.umask(former)
    assert stat.S_IMODE((tmp_path / "note.txt").stat().st_mode) == 0o640


def test_the_temporary_file_keeps_folder_and_ending(tmp_path):
    with whole_file(tmp_path / "array.npz") as temporary:
        assert temporary.parent == tmp_path and temporary.suffix == ".npz"
        np.savez(temporary, x=np.arange(3))  # numpy appends .npz to names that lack it
    assert only(tmp_path) == ["array.npz"]
    assert np.load(tmp_path / "array.npz")["x"].tolist() == [0, 1, 2]


@pytest.mark.parametrize("error", [ValueError("bad"), KeyboardInterrupt(), OSError("no errno")])
def test_an_exception_half_way_leaves_the_former_file(tmp_path, error):
    target = tmp_path / "result.txt"
    target.write_text("former")
    with pytest.raises(type(error)) as raised, whole_file(target) as temporary:
        temporary.write_text("half")
        raise error
    assert raised.value is error
    assert target.read_text() == "former" and only(tmp_path) == ["result.txt"]


def test_an_exception_half_way_leaves_nothing_where_nothing_was(tmp_path):
    with pytest.raises(ZeroDivisionError), whole_file(tmp_path / "result.txt") as temporary:
        temporary.write_text(str(1 / 0))
    assert only(tmp_path) == []


@pytest.mark.parametrize("content", [{"auc": float("nan")}, {"auc": float("inf")}, {"auc": object()}])
def test_json_refuses_what_json_cannot_say(tmp_path, content):
    target = tmp_path / "card.json"
    write_json(target, {"auc": 0.5})
    with pytest.raises((ValueError, TypeError)):
        write_json(target, content)
    assert json.loads(target.read_text()) == {"auc": 0.5} and only(tmp_path) == ["card.json"]


def test_a_folder_that_is_a_file(tmp_path):
    blocker = tmp_path / "results"
    blocker.write_text("a file, not a folder")
    for target in (blocker / "card.json", blocker / "deep" / "card.json"):
        with pytest.raises(WriteError, match="could not be written") as raised:
            write_text(target, "x")
        assert raised.value.where == str(target) and "another folder" in raised.value.remedy
    assert blocker.read_text() == "a file, not a folder"


def test_a_target_that_is_a_folder(tmp_path):
    (tmp_path / "card.json").mkdir()
    with pytest.raises(WriteError):
        write_text(tmp_path / "card.json", "x")
    assert only(tmp_path) == ["card.json"]


def test_a_folder_without_write_permission():
    # Permissions do not stop root, so the child becomes an ordinary user, who cannot enter pytest's tmp_path.
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "readonly"
        folder.mkdir()
        (folder / "card.json").write_text("former")
        Path(name).chmod(0o755)
        folder.chmod(0o555)

        def write():
            if os.getuid() == 0:
                os.setuid(65534)
            write_text(folder / "card.json", "x")
            return "written"

        said = in_a_child(write)
        assert said.startswith("WriteError") and os.strerror(errno.EACCES) in said
        assert (folder / "card.json").read_text() == "former" and only(folder) == ["card.json"]
        folder.chmod(0o755)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_a_full_disk(tmp_path):
    target = tmp_path / "card.json"
    target.write_text("former")
    with pytest.raises(WriteError, match=os.strerror(errno.ENOSPC)), whole_file(target):
        with open("/dev/full", "w") as full:  # the kernel's own ENOSPC
            full.write("x")
    assert target.read_text() == "former" and only(tmp_path) == ["card.json"]


def test_a_file_longer_than_allowed(tmp_path):
    target = tmp_path / "long.bin"
    target.write_text("former")

    def write():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
        write_text(target, "x" * 1_000_000)
        return "written"

    said = in_a_child(write)
    assert said.startswith("WriteError") and os.strerror(errno.EFBIG) in said
    assert target.read_text() == "former" and only(tmp_path) == ["long.bin"]


def test_a_killed_writer_leaves_the_former_file(tmp_path):
    target = tmp_path / "card.json"
    target.write_text("former")
    code = (
        "import sys, time\n"
        "from calcium_decoding.utils.files import whole_file\n"
        "with whole_file(sys.argv[1]) as temporary:\n"
        "    temporary.write_text('half')\n"
        "    print('half', flush=True)\n"
        "    time.sleep(60)\n"
    )
    command = [sys.executable, "-c", code, str(target)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout.readline() == "half\n"
        writer.kill()
    assert target.read_text() == "former"


def test_errors_can_be_caught_by_either_name(tmp_path):
    (tmp_path / "file").write_text("")
    for kind in (OSError, CalciumDecodingError):
        with pytest.raises(kind):
            write_text(tmp_path / "file" / "x", "x")


def test_digests_agree_with_published_vectors(tmp_path):
    path = tmp_path / "abc"
    path.write_bytes(b"abc")  # FIPS 180-2 appendix B.1, RFC 1321 appendix A.5
    assert file_digest(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert file_digest(path, "md5") == "900150983cd24fb0d6963f7d28e17f72"
    path.write_bytes(b"a" * 1_000_000)  # FIPS 180-2 appendix B.3
    assert file_digest(path) == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"


def test_a_content_hash_is_stable_and_blind_to_key_order():
    # printf '{"a":1,"b":[1,2]}' | sha256sum
    assert hash_content({"a": 1, "b": [1, 2]}) == hash_content({"b": [1, 2], "a": 1}) == "8baa73198470c7bb"
    assert hash_content({"a": 1, "b": [2, 1]}) != hash_content({"a": 1, "b": [1, 2]})


SOURCE = '''"""What it is for."""
import math

LIMIT = 3  # metres


def area(r):
    """Area of a circle."""
    text = "not a docstring"
    return math.pi * r**2, text


class Circle:
    """A circle."""

    radius: float = None
'''


@pytest.mark.parametrize(("old", "new"), [
    ("What it is for.", "What it was for."), ('"""What it is for."""\n', ""), ("  # metres", ""), ("\n\n\n", "\n"),
    ("Area of a circle.", "Area of a disc.\n\n    In square metres."), ("A circle.", "A ring."),
    ("math.pi * r**2, text", "(math.pi * r ** 2,\n            text)"), ("def area", "# a comment\ndef area")])
def test_source_digest_is_blind_to_what_does_nothing(tmp_path, old, new):
    assert old in SOURCE
    before, after = tmp_path / "before.py", tmp_path / "after.py"
    before.write_text(SOURCE)
    after.write_text(SOURCE.replace(old, new))
    assert source_digest(before) == source_digest(after)


@pytest.mark.parametrize(("old", "new"), [
    ("LIMIT = 3", "LIMIT = 4"), ("LIMIT = 3", "LIMIT = 3.0"), ("LIMIT = 3", "LIMIT = True"), ("r**2", "r**3"),
    ("not a docstring", "nor this"), ("float = None", "float = 0"), ("float = None", "float"), ("math.pi", "math.e"),
    ("class Circle", "class Disc"), ("2, text", "2"), ("2, text", "2, [text]"),
    ("import math", "import cmath as math")])
def test_source_digest_sees_every_change_of_what_is_done(tmp_path, old, new):
    assert old in SOURCE
    before, after = tmp_path / "before.py", tmp_path / "after.py"
    before.write_text(SOURCE)
    after.write_text(SOURCE.replace(old, new))
    assert source_digest(before) != source_digest(after)
