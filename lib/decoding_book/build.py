"""The whole book: execute the chapters that changed, beside each other where they can be, and render the pages."""

import contextlib
import io
import json
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from types import SimpleNamespace

import joblib
import psutil
from tqdm import tqdm

from calcium_decoding.data import catalog
from calcium_decoding.errors import CalciumDecodingError
from calcium_decoding.utils.code import code_digest
from calcium_decoding.utils.files import file_digest, hash_content, write_json, write_text
from calcium_decoding.utils.progress import LOOK_EVERY_S, progress
from decoding_book import execute, forked_kernel
from decoding_book.pages import glossary, results
from decoding_book.parameters import CHAPTERS

_BAR = re.compile(r"\s*(.+?): +(\d+%)\|")
_messages = None  # in a process that executes chapters: the queue of what their bars count


def build(profile="demo", data_dir=None, scheduler=None):
    """Execute the chapters that changed, render the book, and return the path of its landing page.

    Chapters on one data set follow one another, as they share its files and its finished folds: a lane. Lanes run
    beside each other, as far as there are processors. ChapterError: a chapter stopped, which stops the others too, or
    the pages have faults. What was finished is kept, and can be read in ``_build/executed/PROFILE``.
    """
    root = catalog.project_root()
    executed = root / "_build" / "executed" / profile
    keys = {chapter: chapter_key(chapter, profile, data_dir) for chapter in CHAPTERS}
    lanes = {}
    for chapter in CHAPTERS:
        if not _is_fresh(executed, chapter, keys[chapter]):
            dataset = execute.merged_parameters(chapter, profile, data_dir=data_dir)["dataset"]
            lanes.setdefault(dataset, []).append(chapter)
    how = {"profile": profile, "out": executed, "data_dir": data_dir, "scheduler": scheduler}
    fresh = len(keys) - sum(map(len, lanes.values()))
    with progress(None, total=len(keys), initial=fresh, desc="chapters", unit="chapter") as bar, \
            contextlib.closing(_executed(list(lanes.values()), how, bar)) as done:
        for chapter, seconds, peak_mb in done:
            write_json(executed / f"{chapter}.key.json", {
                "key": keys[chapter], "notebook": file_digest(executed / f"{chapter}.ipynb"), "seconds": seconds,
                "peak_mb": peak_mb, "made": str(date.today())})
            bar.write(f"{chapter} took {seconds:.0f} s: {executed / chapter}.html")
            bar.update()
    return _render(root, executed, profile)


@dataclass
class _Said(io.TextIOBase):
    """A text stream that passes on what the bar of a chapter counts, and how far it is."""

    chapter: str
    last: str = ""

    def write(self, text):
        bar = _BAR.match(re.split(r"[\r\n]", text.strip())[-1])
        if bar and " ".join(bar.groups()) != self.last:
            self.last = " ".join(bar.groups())
            _messages.put((self.chapter, self.last))


def _executed(lanes, how, bar):
    """Execute lanes beside each other; yields chapter, seconds and peak memory (10^6 bytes) as each is done."""
    context, others = multiprocessing.get_context("spawn"), multiprocessing.active_children()
    messages, processors = context.Queue(), joblib.cpu_count()
    lanes, running, said = [list(lane) for lane in lanes], {}, {}
    at_once = max(1, min(len(lanes), processors))
    pool = ProcessPoolExecutor(at_once, context, _begin, (messages,))

    def go_on(lane):
        chapter, lane = _next(lane, lanes, [mine for _, mine in running.values()])
        if chapter:
            busy = min(at_once, len(running) + 1 + sum(map(len, lanes)))
            running[pool.submit(_work, chapter, max(1, processors // busy), how)] = chapter, lane

    try:
        for lane in lanes[:at_once]:
            go_on(lane)
        while running:
            done, _ = wait(running, LOOK_EVERY_S, FIRST_COMPLETED)
            while not messages.empty():
                chapter, text = messages.get()
                said[chapter] = f"{chapter} {text}"
            for future in done:
                chapter, lane = running.pop(future)
                took = future.result()
                go_on(lane)
                yield chapter, *took
            bar.set_postfix_str(", ".join(said[chapter] for chapter, _ in running.values() if chapter in said))
    except BaseException as error:
        for process in multiprocessing.active_children():
            if process not in others:
                _stop(process.pid)
        if isinstance(error, BrokenProcessPool):
            raise execute.ChapterError("a process that executes chapters was ended from outside; memory may have run "
                               "out") from None
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _stop(pid):
    """End a process and all it started, but for what clears shared memory after them: it ignores being asked to end."""
    with contextlib.suppress(psutil.NoSuchProcess):
        runner = psutil.Process(pid)
        started = runner.children(recursive=True)
        runner.kill()  # asked to end, it would wait for its kernel first
        for process in started:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.terminate()


def _next(lane, lanes, taken):
    """Next chapter for who is on a lane, and its lane from then on: the next of this lane, else the first of one that
    nobody is on, else the last of the longest one, since that shares least with those before it. Empty: nothing is
    left."""
    free = [other for other in lanes if other and not any(other is one for one in taken)]
    lane = lane or (free[0] if free else lane)
    return (lane or max(lanes, key=len) or [""]).pop(0 if lane else -1), lane


def _begin(messages):
    """Prepare a process that executes chapters."""
    global _messages
    _messages = messages
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is stopped by who started it
    forked_kernel.use()
    tqdm.set_lock(threading.RLock())  # its own is of the system, and would stay behind when this process is stopped


def _work(chapter, processors, how):
    """Execute a chapter; returns its seconds and peak memory."""
    os.environ["LOKY_MAX_CPU_COUNT"] = str(processors)  # joblib reads from it how many there are
    try:
        with contextlib.redirect_stderr(_Said(chapter)), metered() as took:
            execute.run(chapter, **how)
    except CalciumDecodingError as error:
        raise execute.ChapterError(f"{chapter}: {error}") from None
    return took.seconds, took.peak_mb


def chapter_key(chapter, profile, data_dir=None):
    """Hash of everything an executed chapter depends on: its source, parameters, the library, data, packages."""
    parameters = execute.merged_parameters(chapter, profile, data_dir=data_dir)
    entry = catalog.load_manifest().entry(parameters["dataset"])
    place = catalog.folder(entry, data_dir)
    # A simulated set is remade from what its folder's name is a hash of; it may not be there yet. Content hashes of
    # gigabytes would take longer than a build may; names, sizes and times tell of a change.
    files = place.name if entry.kind == "simulated" else [
        (os.path.relpath(p, place), p.stat().st_size, p.stat().st_mtime_ns) for p in (
            catalog.local_files(entry, data_dir) if entry.kind == "local" else sorted(place.rglob("*")))
        if p.is_file()]
    versions = sorted(p.name for p in Path(sys.prefix).glob("lib/python*/site-packages/*.dist-info"))
    return hash_content([file_digest(execute.source_path(chapter)), parameters, code_digest("", Path(__file__).parent),
                         entry.model_dump(mode="json"), files, versions])


def _is_fresh(executed, chapter, key):
    try:
        kept = json.loads((executed / f"{chapter}.key.json").read_text())
        return kept["key"] == key and kept["notebook"] == file_digest(executed / f"{chapter}.ipynb")
    except (OSError, ValueError, KeyError):
        return False


def _render(root, executed, profile):
    """Stage executed chapters and prose, and run Jupyter Book on them unless the pages are as they were."""
    staged = root / "_build" / "pages"
    results.stage(root, executed, CHAPTERS, profile, staged)
    key = hash_content({str(p.relative_to(staged)): file_digest(p) for p in sorted(staged.rglob("*")) if p.is_file()})
    index, stamp = root / "_build" / "html" / "index.html", root / "_build" / "html.key"
    if index.exists() and stamp.exists() and stamp.read_text() == key:
        return index
    shutil.rmtree(index.parent, ignore_errors=True)  # a page that is no longer in the book must not stay
    program = Path(sys.executable).parent / "jupyter-book"
    result = subprocess.run([program, "build", staged, "--path-output", root, "--all", "-W", "-n", "--keep-going"],
                            capture_output=True, text=True)
    if result.returncode != 0 or not index.exists():
        last = (result.stdout + result.stderr).strip().splitlines()[-25:]
        raise execute.ChapterError("\n".join(["jupyter-book did not build without warnings:", *last]))
    if found := glossary.faults(index.parent):
        raise execute.ChapterError("\n".join([f"{len(found)} faults in the pages, the first of them:", *found[:25]]))
    write_text(stamp, key)
    return index


@contextlib.contextmanager
def metered():
    """Measures a ``with`` block that starts processes: ``seconds``, and ``peak_mb``, the most memory they held at one
    time, 10^6 bytes. A page that several share counts once where the system says so (PSS, Linux), else in each."""
    took, over, me = SimpleNamespace(seconds=0.0, peak_mb=0.0), threading.Event(), psutil.Process()
    before, began = set(me.children(recursive=True)), time.perf_counter()

    def look():
        while not over.wait(0.5):
            held = sum(_memory(child) for child in me.children(recursive=True) if child not in before)
            took.peak_mb = max(took.peak_mb, held / 1e6)

    watch = threading.Thread(target=look, daemon=True)
    watch.start()
    try:
        yield took
    finally:
        took.seconds = time.perf_counter() - began
        over.set()
        watch.join()


def _memory(process):
    """Bytes a process holds; 0 of one that has just ended."""
    with contextlib.suppress(psutil.Error):
        return getattr(process.memory_full_info(), "pss", None) or process.memory_info().rss
    return 0
