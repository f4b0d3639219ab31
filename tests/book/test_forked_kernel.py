"""Forked kernels: what a notebook shows is what it shows with a kernel started as ever, and none is left behind."""

import json
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="kernels are forked on Linux only")

EXECUTE = """
import json, sys, nbclient, nbformat
from decoding_book import forked_kernel
if __name__ == "__main__":
    if sys.argv[1] == "forked":
        forked_kernel.use()
    cells = [nbformat.v4.new_code_cell(source) for source in json.loads(sys.stdin.read())]
    book = nbformat.v4.new_notebook(cells=cells)
    for cell in nbclient.NotebookClient(book, kernel_name="python3", allow_errors=True).execute().cells:
        print(json.dumps(cell.outputs))
"""
CELLS = [
    "import os, sys, threading; print('decoding_book.build' in sys.modules, 'torch' in sys.modules)",
    "print(os.getcwd(), os.environ['SAID'], os.getpgrp() == os.getpid(), sys.argv[0][-12:] != '', __name__)",
    "from calcium_decoding.plotting import style\nfig, (ax,) = style.panels(1)\nax.plot([1, 3, 2]);",
    "print('out'); print('err', file=sys.stderr); {'rich': 1}",
    "import joblib; sorted(joblib.Parallel(2)(joblib.delayed(abs)(i) for i in (-2, 1)))",
    "1 / 0",
    "import torch, tqdm; torch.ones(2, 2) @ torch.ones(2, 2)",
]
WAIT = """
import sys, time
from jupyter_client import KernelManager
from decoding_book import forked_kernel
if __name__ == "__main__":
    forked_kernel.use()
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel()
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(timeout=60)
    print(manager.provisioner.pid, flush=True)
    time.sleep(600)
"""


def executed(script, how, folder):
    script_path = folder / f"{how}.py"
    script_path.write_text(script)
    done = subprocess.run([sys.executable, script_path, how], input=json.dumps(CELLS), capture_output=True, text=True,
                          cwd=folder, env=os.environ | {"SAID": "something"}, timeout=300)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_forked_kernel_shows_what_another_one_shows(tmp_path):
    plain, forked = (executed(EXECUTE, how, tmp_path) for how in ("plain", "forked"))
    assert forked[0][0]["text"] == "True True\n" and plain[0][0]["text"] == "False False\n"
    assert f"{tmp_path} something True" in forked[1][0]["text"]
    assert "image/png" in forked[2][0]["data"]  # drawn by the inline backend
    assert forked[5][0]["ename"] == "ZeroDivisionError"
    assert forked[1:5] + forked[6:] == plain[1:5] + plain[6:]


def test_a_forked_kernel_ends_with_what_asked_for_it(tmp_path):
    (tmp_path / "wait.py").write_text(WAIT)
    asker = subprocess.Popen([sys.executable, tmp_path / "wait.py"], stdout=subprocess.PIPE, text=True)
    kernel = psutil.Process(int(asker.stdout.readline()))
    assert kernel.is_running() and kernel.ppid() != asker.pid  # its parent is what was forked
    asker.send_signal(signal.SIGKILL)
    asker.wait()
    until = time.monotonic() + 30
    while kernel.is_running() and kernel.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < until, "the kernel is still there"
        time.sleep(0.1)


def test_nothing_that_a_fork_would_lose_is_begun_by_imports():
    script = ("import importlib, threading; from decoding_book import forked_kernel\n"
              "for name in forked_kernel._imported(): importlib.import_module(name)\n"
              "import torch; print(threading.active_count(), torch.cuda.is_initialized())")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=300)
    assert done.stdout == "1 False\n"
