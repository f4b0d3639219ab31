"""A chapter as a person meets it: a real JupyterLab in a real Chromium, with mouse and keyboard.

One notebook goes through everything: a parameter mistyped by hand and refused, Run All interrupted in the middle of
training, Run All again to the end with the folds kept.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import sync_playwright

from decoding_book.pages import results

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [pytest.mark.slow,
              pytest.mark.skipif(CHROMIUM is None, reason="JupyterLab in a browser: no Chromium on this machine")]
CHAPTER = "10_roi_rnn"
# Six folds of one network, some seconds each, in two processes; the sections that would add time are left empty.
QUICK = {"dataset": "simulated-small", "models": "gru", "networks": "", "filters": "", "null_models": "", "epochs": 1,
         "min_updates": 120, "batch_size": 256, "learning_rate": 0.003, "jobs": 2}
# No greeting about news, and every cell in the document, not only those on the screen.
SETTINGS = {"apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
            "notebook-extension/tracker": {"windowingMode": "none"}}
PATIENCE_MS = 600_000  # a limit for a busy machine; alone it takes a minute


@pytest.fixture
def opened(checkout):
    """A page with the chapter's paired notebook open, and the folder that it lies in."""
    source = checkout / "book" / f"{CHAPTER}.py"
    text = source.read_text(encoding="utf-8")
    for name, value in QUICK.items():
        text, found = re.subn(rf"^{name} = .*?(?=  # )", f"{name} = {json.dumps(value)}", text, flags=re.M)
        assert found == 1, name
    source.write_text(text, encoding="utf-8")
    subprocess.run([sys.executable, "-m", "jupytext", "--sync", source], cwd=checkout, check=True, capture_output=True)
    with server(checkout) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        page.set_default_timeout(PATIENCE_MS)
        page.goto(f"{address}{urlsplit(f'{results.LAB}/{CHAPTER}.ipynb').path}?token=book")
        page.locator(".jp-Notebook .jp-CodeCell").first.wait_for()
        page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]").wait_for()  # its kernel has started
        yield page, checkout
        browser.close()


@contextlib.contextmanager
def server(checkout):
    """A JupyterLab of its own settings, which serves a checkout; yields its address."""
    own = checkout / "jupyter"
    for name, content in SETTINGS.items():
        path = own / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folders = {"JUPYTER_CONFIG_DIR": "config", "JUPYTER_DATA_DIR": "data", "JUPYTER_RUNTIME_DIR": "runtime",
               "JUPYTERLAB_SETTINGS_DIR": "settings", "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
               "IPYTHONDIR": "ipython"}
    environment = {k: v for k, v in os.environ.items() if not k.startswith("CALCIUM_DECODING")}
    environment |= {variable: str(own / folder) for variable, folder in folders.items()}
    with (checkout / "server.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1",
             f"--ServerApp.port={port}", "--ServerApp.port_retries=0", f"--ServerApp.root_dir={checkout}",
             "--IdentityProvider.token=book"], cwd=checkout, env=environment, stdout=log, stderr=log)
        try:
            address = f"http://127.0.0.1:{port}"
            _await(lambda: process.poll() is not None or _answers(f"{address}/api/status?token=book"))
            assert process.poll() is None, (checkout / "server.log").read_text()[-3000:]
            yield address
        finally:
            process.send_signal(signal.SIGTERM)  # it stops its kernels
            process.wait(timeout=60)


def _answers(address):
    try:
        return urllib.request.urlopen(address, timeout=5).status == 200
    except (urllib.error.URLError, OSError):
        return False


def _await(condition, seconds=PATIENCE_MS / 1000):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.1)


def code_cell(page, text):
    """The code cell whose source holds a text."""
    return page.locator(".jp-Notebook .jp-CodeCell").filter(has=page.locator(".cm-content", has_text=text)).first


def retype(page, old, new):
    """Replace one line of the cell of parameters by hand."""
    line = code_cell(page, "dataset = ").locator(".cm-line", has_text=re.compile(rf"^{re.escape(old)}"))
    line.click()
    page.keyboard.press("End")
    page.keyboard.press("Shift+Home")
    page.keyboard.type(new)


def run_all(page):
    page.locator(".lm-MenuBar-item", has_text=re.compile("^Run$")).click()
    page.locator(".lm-Menu-item", has_text=re.compile("^Run All Cells")).click()


def wait_until_done(page):
    """No cell waits or runs."""
    page.wait_for_function("() => ![...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')]"
                           ".some(prompt => prompt.textContent.includes('[*]'))")


def prompts(page):
    """What stands before each code cell: a number once it has run."""
    return page.locator(".jp-Notebook .jp-CodeCell .jp-InputPrompt").all_inner_texts()


@pytest.mark.timeout(3600)
def test_edited_refused_interrupted_and_run_to_the_end(opened):
    page, checkout = opened
    folds = checkout / "_build" / "folds"
    card, decode, begin = (code_cell(page, text) for text in ("card.rounded()", "chapter.decode(", "= start("))

    # A value out of range, typed by hand: refused with name, value and remedy, and nothing after it runs.
    retype(page, "past_frames", "past_frames = -1  # frames of a window before the labelled one")
    run_all(page)
    said = begin.locator(".jp-OutputArea-output").filter(has_text="ParameterError").last.inner_text()
    assert "'past_frames' of 10_roi_rnn: found -1" in said and "To mend it: set past_frames" in said
    wait_until_done(page)
    assert not re.search(r"\d", prompts(page)[-1]) and not folds.exists()

    # Corrected by hand. Run All, interrupted after the first fold: a bar was drawn, the cell says it was stopped.
    retype(page, "past_frames", "past_frames = 10  # frames of a window before the labelled one")
    run_all(page)
    decode.locator(".widget-hprogress, .jupyter-widgets.widget-hbox").first.wait_for()
    bar = decode.locator(".jupyter-widgets.widget-hbox").first
    assert "/6" in bar.inner_text()
    _await(lambda: list(folds.glob("[!.]*.npz")))
    page.locator('[data-jp-item-name="interrupt"]').locator("visible=true").first.click()
    decode.locator(".jp-OutputArea-output").filter(has_text="KeyboardInterrupt").first.wait_for()
    wait_until_done(page)
    kept = {path: path.stat().st_mtime_ns for path in folds.glob("[!.]*.npz")}
    assert 1 <= len(kept) < 6 and not re.search(r"\d", prompts(page)[-1])

    # Run All again: only the folds that are missing, then every cell to the last, the card.
    run_all(page)
    card.locator(".jp-OutputArea-output").filter(has_text="10_roi_rnn on simulated-small").wait_for()
    wait_until_done(page)
    assert all(re.search(r"\[\d+\]", prompt) for prompt in prompts(page))
    assert not page.locator(".jp-Notebook .jp-OutputArea-output").filter(has_text="Traceback").count()
    finished = {path: path.stat().st_mtime_ns for path in folds.glob("[!.]*.npz")}
    assert len(finished) == 6 and {path: finished[path] for path in kept} == kept
    bar = decode.locator(".jupyter-widgets.widget-hbox").first
    left = 6 - len(kept)
    assert f"{left}/{left}" in bar.inner_text()
    assert decode.locator(".progress-bar-success, .widget-hprogress").count()
    assert len(page.locator(".jp-RenderedImage img").all()) >= 3
    stored = json.loads((checkout / "_build" / "cards" / f"{CHAPTER}.card.json").read_text())
    assert stored["provenance"]["parameters"]["past_frames"] == 10 and stored["simulated"] is True

    # Saved: the edit is in the percent file, which is the source.
    page.keyboard.press("Control+s")
    source = checkout / "book" / f"{CHAPTER}.py"
    _await(lambda: "\npast_frames = 10  # frames of a window" in source.read_text(encoding="utf-8"))
