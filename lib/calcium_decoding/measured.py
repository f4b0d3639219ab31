"""What executing something took: wall time and peak memory of the processes it started."""

import threading
import time

import psutil

EVERY_S = 0.5  # how often memory is looked at; shorter peaks can be missed


class Meter:
    """Measures a ``with`` block that starts processes.

    Attributes
    ----------
    seconds : float
        Wall time.
    peak_mb : float
        Most memory that children of this process started in the block, and theirs, held at one time, 10^6 bytes. A
        page that several processes share counts once where the system says so (PSS, Linux), else in each of them.
        Looked at each half second.
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
        while not self._over.wait(EVERY_S):
            held = sum(_memory(child) for child in me.children(recursive=True)
                       if child not in self._before)
            self.peak_mb = max(self.peak_mb, held / 1e6)


def _memory(process):
    """Bytes a process holds; 0 of one that has just ended."""
    try:
        return getattr(process.memory_full_info(), "pss", None) or process.memory_info().rss
    except psutil.Error:
        return 0
