"""What is wrong with rendered pages: links that lead nowhere, figures without a description."""

from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class _Page(HTMLParser):
    """Links, names that can be linked to, and images of a page."""

    def __init__(self, path):
        super().__init__()
        self.links, self.names, self.bare_images = [], set(), []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.names |= {given[key] for key in ("id", "name") if given.get(key)}
        self.links += [given[key] for key in ("href", "src") if given.get(key)]
        if tag == "img" and not (given.get("alt") or "").strip():
            self.bare_images.append(given.get("src", ""))


def faults(folder):
    """Faults of the pages in a folder.

    ``folder``: with HTML files at its top. Returns a list of str: a line each, naming the page: a link to a file that
    is not there, or to a name that its page does not have; an image without alternative text. Links to other sites are
    not followed.
    """
    read = cache(_Page)
    found = []
    for path in sorted(Path(folder).glob("*.html")):
        page = read(path)
        found += [f"{path.name}: no alternative text on {src[:80]}" for src in page.bare_images]
        for link in dict.fromkeys(page.links):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.is_file():
                found.append(f"{path.name}: link to {link}, which is not there")
            elif parts.fragment and target.suffix == ".html" and unquote(parts.fragment) not in read(target).names:
                found.append(f"{path.name}: link to {link}, but {target.name} has no such place")
    return found
