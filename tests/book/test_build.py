"""Building the book: what is executed again, what beside what, and what is left when it stops."""

import contextlib
import json
import os
import signal
import sys
import time

import psutil
import pytest
import yaml

from decoding_book import build
from decoding_book.execute import ChapterError
from decoding_book.parameters import CHAPTERS
from tests.conftest import started_alone

PAGES = "01_data_tour", "03_chance_and_nulls"  # quick ones


@pytest.fixture
def two_chapters(checkout, monkeypatch):
    """A checkout whose book has two chapters, on different data sets, and is not rendered."""
    monkeypatch.chdir(checkout)
    manifest = yaml.safe_load((checkout / "data_manifest.yaml").read_text())
    manifest["entries"]["simulated-twin"] = manifest["entries"]["simulated-small"] | {"seed": 60}
    (checkout / "data_manifest.yaml").write_text(yaml.safe_dump(manifest))
    params = checkout / "book" / "params" / "03_chance_and_nulls.smoke.yaml"
    params.write_text(params.read_text().replace("simulated-small", "simulated-twin"))
    monkeypatch.setattr(build, "CHAPTERS", {name: CHAPTERS[name] for name in PAGES})
    monkeypatch.setattr(build, "_render", lambda root, executed, profile: executed)
    return checkout


def test_unchanged_chapters_are_not_executed_again(two_chapters, monkeypatch):
    checkout = two_chapters
    build.build("smoke")
    executed, other = (checkout / "_build" / "executed" / "smoke" / f"{name}.ipynb" for name in PAGES)
    first, of_other = executed.stat().st_mtime_ns, other.stat().st_mtime_ns
    build.build("smoke")
    assert executed.stat().st_mtime_ns == first
    # Its source, its parameters or its data changed: executed again.
    key = build.chapter_key("01_data_tour", "smoke")
    params = checkout / "book" / "params" / "01_data_tour.smoke.yaml"
    params.write_text(params.read_text() + "show_s: 15.0\n")
    assert build.chapter_key("01_data_tour", "smoke") != key
    build.build("smoke")
    assert executed.stat().st_mtime_ns != first and other.stat().st_mtime_ns == of_other
    source = checkout / "book" / "01_data_tour.py"
    key = build.chapter_key("01_data_tour", "smoke")
    source.write_text(source.read_text() + "\n# changed\n")
    assert build.chapter_key("01_data_tour", "smoke") != key
    key = build.chapter_key("01_data_tour", "smoke")
    monkeypatch.setattr(build, "code_digest", lambda *places: "another library")
    assert build.chapter_key("01_data_tour", "smoke") != key


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one processor: nothing runs beside anything")
def test_chapters_on_different_data_sets_run_beside_each_other(two_chapters):
    folder = build.build("smoke")
    took = [(folder / f"{name}.key.json", json.loads((folder / f"{name}.key.json").read_text())) for name in PAGES]
    ends = [path.stat().st_mtime for path, _ in took]
    began = [end - stamp["seconds"] for end, (_, stamp) in zip(ends, took, strict=True)]
    assert max(began) < min(ends)
    assert all(stamp["peak_mb"] > 50 for _, stamp in took)  # that of its own kernel


def test_chapters_on_one_data_set_follow_one_another(two_chapters):
    params = two_chapters / "book" / "params" / "01_data_tour.smoke.yaml"
    params.write_text("dataset: simulated-twin\n")
    lanes = []

    def nothing(of_build, how, bar):
        lanes.extend(of_build)
        yield from ()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "_executed", nothing)
        build.build("smoke")
    assert lanes == [list(PAGES)]


def test_who_has_nothing_left_takes_the_last_chapter_of_the_longest_lane():
    lanes = [["a1", "a2", "a3", "a4"], ["b1"], ["c1", "c2"]]
    on = {"first": lanes[0], "second": lanes[1]}

    def given(who):
        chapter, on[who] = build._next(on.pop(who), lanes, on.values())
        return chapter

    assert [given("first"), given("second")] == ["a1", "b1"]
    assert [given("second"), given("second")] == ["c1", "c2"]  # the lane that nobody is on, to its end
    assert [given("second"), given("first"), given("first")] == ["a4", "a2", "a3"]
    assert [given("first"), given("second")] == ["", ""]


def test_a_chapter_that_stops_is_named_and_what_was_finished_is_kept(two_chapters, monkeypatch, tmp_path):
    monkeypatch.setenv("CALCIUM_DECODING_DATA", str(tmp_path / "nothing"))
    params = two_chapters / "book" / "params" / "03_chance_and_nulls.smoke.yaml"
    good = params.read_text()
    params.write_text("dataset: isfn-widefield\n")
    with pytest.raises(ChapterError, match=r"^03_chance_and_nulls: .*isfn-widefield"):
        build.build("smoke")
    wait_until(lambda: not processes_in(two_chapters))
    params.write_text(good)
    assert all((build.build("smoke") / f"{name}.html").exists() for name in PAGES)


def test_an_interrupted_build_leaves_no_process_behind(checkout):
    program = [sys.executable, "-m", "calcium_decoding.cli", "book", "build", "--profile", "smoke"]
    with (checkout / "said.txt").open("w+") as said:  # nobody reads while it works
        victim = started_alone(program, cwd=checkout, stdout=said, stderr=said)
        try:
            wait_until(lambda: kernels_in(checkout) or victim.poll() is not None)
            assert victim.poll() is None, "ended before it could be stopped"
            victim.send_signal(signal.SIGINT)
            assert victim.wait(timeout=120) == 130
            wait_until(lambda: not processes_in(checkout))
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(victim.pid, signal.SIGKILL)
        said.seek(0)
        text = said.read()
    assert "the same command goes on" in text and "Traceback" not in text, text


def processes_in(folder):
    """Processes that work in a folder, but for this one and what clears shared memory after it."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.cwd() == str(folder) and process.pid != os.getpid() and process.status() != psutil.STATUS_ZOMBIE:
                found.append((process, " ".join(process.cmdline())))
    return [process for process, command in found if "resource_tracker" not in command]


def kernels_in(folder):
    """Kernels of notebooks that work in a folder, started or forked."""
    found = []
    for process in processes_in(folder):
        with contextlib.suppress(psutil.Error):
            command, above = (" ".join(one.cmdline()) for one in (process, process.parent()))
            if "ipykernel_launcher" in command or ("forkserver" in command and "forkserver" in above):
                found.append(process)
    return found


def wait_until(true):
    deadline = time.monotonic() + 300  # other tests may take most of the machine
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.1)
