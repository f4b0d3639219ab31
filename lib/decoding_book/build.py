"""The whole book: execute the chapters that changed, beside each other where they can be, and render the pages."""

import contextlib
import io
import json
import multiprocessing
import os
import queue
import re
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import joblib
import psutil
from tqdm import tqdm

from calcium_decoding.data import catalog
from calcium_decoding.errors import CalciumDecodingError
from calcium_decoding.utils.code import code_digest
from calcium_decoding.utils.files import file_digest, hash_content, write_json, write_text
from calcium_decoding.utils.progress import LOOK_EVERY_S, progress
from decoding_book import execute, forked_kernel
from decoding_book.execute import ChapterError
from decoding_book.pages import glossary, results
from decoding_book.parameters import CHAPTERS

# joblib reads from it how many processors there are for a process and those it starts.
PROCESSORS_VARIABLE = "LOKY_MAX_CPU_COUNT"
_BAR = re.compile(r"\s*(.+?): +(\d+%)\|")


def build(profile="demo", data_dir=None, scheduler=None):
    """Execute the chapters that changed, render the book, and return the path of its landing page.

    Chapters on one data set follow one another, as they share its files and its finished folds. Those on different
    data sets run beside each other, as far as there are processors; one that is left over takes the last chapters of
    the longest row. A chapter can be read in ``_build/executed/PROFILE`` as soon as it is done. ``scheduler``: as for
    :func:`decoding_book.execute.run`. ChapterError: a chapter stopped, which stops the others too, or the pages have
    faults. What was finished is kept.
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
    with progress(None, total=len(keys), initial=fresh, desc="chapters", unit="chapter") as bar:
        with contextlib.closing(_executed(list(lanes.values()), how, bar)) as done:
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

    worker: int
    chapter: str
    messages: multiprocessing.Queue
    last: str = ""

    def write(self, text):
        bar = _BAR.match(re.split(r"[\r\n]", text.strip())[-1])
        if bar and " ".join(bar.groups()) != self.last:
            self.last = " ".join(bar.groups())
            self.messages.put((self.worker, "said", self.chapter, self.last))


def _executed(lanes, how, bar):
    """Execute lanes beside each other; yields chapter, seconds and peak memory (10^6 bytes) as each is done."""
    context, said = multiprocessing.get_context("spawn"), {}
    processors, messages = joblib.cpu_count(), context.Queue()
    rest, workers = [list(lane) for lane in lanes], []
    try:
        for i in range(min(len(lanes), processors)):
            asked = context.SimpleQueue()
            workers.append(_Worker(context.Process(target=_work, args=(i, asked, messages, how)), asked))
        for worker in workers:
            _give(worker, rest, workers, processors)
            worker.process.start()
        while any(worker.busy for worker in workers):
            try:
                i, kind, chapter, content = messages.get(timeout=LOOK_EVERY_S)
            except queue.Empty:
                if codes := [w.process.exitcode for w in workers if w.busy and w.process.exitcode is not None]:
                    raise ChapterError(f"a process that executes chapters ended with code {codes[0]}; if it is "
                                       "negative, memory may have run out") from None
                continue
            if kind == "failed":
                raise ChapterError(f"{chapter}: {content}")
            if kind == "done":
                said.pop(chapter, None)
                _give(workers[i], rest, workers, processors)
                yield chapter, *content
            else:
                said[chapter] = f"{chapter} {content}"
            bar.set_postfix_str(", ".join(said.values()))
    finally:
        for worker in workers:
            if worker.process.is_alive():
                _stop(worker.process.pid)
                worker.process.join()


def _stop(pid):
    """End a process and all it started, but for what clears shared memory after them: it ignores being asked to end."""
    with contextlib.suppress(psutil.NoSuchProcess):
        runner = psutil.Process(pid)
        started = runner.children(recursive=True)
        runner.kill()  # asked to end, it would wait for its kernel first
        for process in started:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.terminate()


@dataclass
class _Worker:
    """A process that executes chapters, the queue it is asked by, and the lane it is on."""

    process: multiprocessing.Process
    asked: multiprocessing.SimpleQueue
    lane: list = field(default_factory=list)
    busy: bool = True


def _give(worker, rest, workers, processors):
    """Ask a worker for the next chapter of its lane, else of one nobody is on, else the last of the longest one.

    The last chapters of a lane share least with those before them. A worker for which nothing is left is told so.
    """
    free = [lane for lane in rest if lane and not any(lane is other.lane for other in workers)]
    if not worker.lane and free:
        worker.lane = free[0]
    longest = max(rest, key=len)
    worker.busy = bool(longest)
    if worker.busy:
        chapter = worker.lane.pop(0) if worker.lane else longest.pop()
        worker.asked.put((chapter, max(1, processors // sum(w.busy for w in workers))))
    else:
        worker.asked.put(None)


def _work(i, asked, messages, how):
    """Execute the chapters that are asked for until None is; :func:`_executed` hears of each."""
    forked_kernel.use()
    tqdm.set_lock(threading.RLock())  # its own is of the system, and would stay behind when this process is stopped
    for chapter, processors in iter(asked.get, None):
        os.environ[PROCESSORS_VARIABLE] = str(processors)
        try:
            with contextlib.redirect_stderr(_Said(i, chapter, messages)), Meter() as took:
                execute.run(chapter, **how)
        except CalciumDecodingError as error:
            messages.put((i, "failed", chapter, str(error)))
            return
        except KeyboardInterrupt:
            return
        messages.put((i, "done", chapter, (took.seconds, took.peak_mb)))


def chapter_key(chapter, profile, data_dir=None):
    """Hash of everything an executed chapter depends on: its source, parameters, the library, data, packages."""
    parameters = execute.merged_parameters(chapter, profile, data_dir=data_dir)
    entry = catalog.load_manifest().entry(parameters["dataset"])
    place = catalog.folder(entry, data_dir)
    # A simulated set is remade from what its folder's name is a hash of; it may not be there yet. Content hashes of
    # gigabytes would take longer than a build may; names, sizes and times tell of a change.
    files = place.name if entry.kind == "simulated" else [
        (str(p.relative_to(place)), p.stat().st_size, p.stat().st_mtime_ns) for p in sorted(place.rglob("*"))
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
        raise ChapterError("\n".join(["jupyter-book did not build without warnings:", *last]))
    if found := glossary.faults(index.parent):
        raise ChapterError("\n".join([f"{len(found)} faults in the pages, the first of them:", *found[:25]]))
    write_text(stamp, key)
    return index


class Meter:
    """Measures a ``with`` block that starts processes: ``seconds`` of wall time, and ``peak_mb``, 10^6 bytes.

    The peak is the most memory that children of this process started in the block, and theirs, held at one time,
    looked at each half second. A page that several processes share counts once where the system says so (PSS, Linux),
    else in each of them.
    """

    def __enter__(self):
        self.seconds, self.peak_mb = 0.0, 0.0
        self._before = set(psutil.Process().children(recursive=True))
        self._began, self._over = time.perf_counter(), threading.Event()
        self._watch = threading.Thread(target=self._look, daemon=True)
        self._watch.start()
        return self

    def __exit__(self, *_):
        self.seconds = time.perf_counter() - self._began
        self._over.set()
        self._watch.join()

    def _look(self):
        me = psutil.Process()
        while not self._over.wait(0.5):
            held = sum(_memory(child) for child in me.children(recursive=True) if child not in self._before)
            self.peak_mb = max(self.peak_mb, held / 1e6)


def _memory(process):
    """Bytes a process holds; 0 of one that has just ended."""
    with contextlib.suppress(psutil.Error):
        return getattr(process.memory_full_info(), "pss", None) or process.memory_info().rss
    return 0
