"""Progress bars that suit the place: widgets in JupyterLab, text in a terminal and in batch runs."""

import contextlib
import os
import threading
from dataclasses import dataclass
from pathlib import Path

BATCH_VARIABLE = "CALCIUM_DECODING_BATCH"
LOOK_EVERY_S = 0.5


def progress(iterable, **options):
    """A tqdm bar over ``iterable``; options as for :class:`tqdm.tqdm`. With the environment variable
    ``CALCIUM_DECODING_BATCH``, which the chapter runner sets, it is plain text on standard error."""
    if os.environ.get(BATCH_VARIABLE):
        from tqdm import tqdm
    else:
        from tqdm.auto import tqdm
    return tqdm(iterable, **options)


@dataclass(frozen=True)
class StepFile:
    """Says in a small file how far a long job is, so that the bar of another process can show it; nobody's work stops
    if it cannot be written."""

    path: Path

    def __call__(self, done, planned):
        with contextlib.suppress(OSError):
            self.path.write_text(f"{done} {planned}")

    def remove(self):
        with contextlib.suppress(OSError):
            self.path.unlink()


def steps_in(folder):
    """Steps done and planned, (int, int), of all jobs at work: those with a :class:`StepFile` in ``folder``."""
    done = planned = 0
    for path in Path(folder).iterdir():
        with contextlib.suppress(OSError, ValueError):  # gone, or just being written
            one, of = map(int, path.read_text().split())
            done, planned = done + one, planned + of
    return done, planned


@contextlib.contextmanager
def steps_shown(bar, folder, unit):
    """Show behind a tqdm bar, while the context lasts, the steps (``unit``: what they are) as :func:`steps_in` says."""
    over = threading.Event()

    def look():
        said = ""
        while not over.wait(LOOK_EVERY_S):
            done, planned = steps_in(folder)
            text = f"{done} of {planned} {unit}" if planned else ""
            if text != said:
                said = text
                bar.set_postfix_str(text)

    watcher = threading.Thread(target=look, name="steps of a bar", daemon=True)
    if not bar.disable:
        watcher.start()
    try:
        yield
    finally:
        over.set()
        if watcher.is_alive():
            watcher.join()
        bar.set_postfix_str("", refresh=False)
