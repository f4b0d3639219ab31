"""The script that interactive figures need: in a notebook, which stands by itself; once for all pages of a site."""

import re

from bokeh.resources import Resources

LINKED = "scripts/bokeh.min.js"  # from a page of the site
_BEGIN, _END = "<!-- bokeh -->", "<!-- /bokeh -->"


def text():
    """The script, version of the installed Bokeh: what plots need, without widgets, tables and formulas."""
    return "".join(Resources(mode="inline", components=["bokeh"]).js_raw)


def inlined():
    """The script as HTML, marked for :func:`linked`."""
    return f"{_BEGIN}<script>{text()}</script>{_END}"


def linked(html):
    """HTML whose copies of the script are replaced by a link to :data:`LINKED`."""
    return re.sub(f"{_BEGIN}.*?{_END}", f'<script src="{LINKED}"></script>', html, flags=re.S)
