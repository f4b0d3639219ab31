"""Terms of the glossary and links to them; links that lead nowhere, figures without a description."""

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

# Where no link may be put: code, links, roles, formulas, fenced blocks, headings, tables, comments.
_KEPT = re.compile(r"```.*?```|:::.*?:::|<!--.*?-->|\{\w+\}`[^`]*`|`[^`]*`|\[[^\]]*\]\([^)]*\)|\$[^$\n]*\$|^[#|].*?$",
                   re.M | re.S)


def terms(text):
    """Names in a glossary written as definition list, each with its entry: "Frozen, fine-tuned" has two names."""
    entries = re.findall(r"^(\S.*)\n: ", text, re.M)
    return {name: entry for entry in entries for name in entry.split(", ")}


def page(text):
    """The glossary as Sphinx takes it, so that pages can link to its terms."""
    title, _, rest = text.partition("\n\n")
    return f"{title}\n\n```{{glossary}}\n{re.sub(r'^: ', '  ', rest.strip(), flags=re.M)}\n```\n"


def linked(text, names, seen):
    """Markdown with the first mention of each term as a link. ``names``: as of :func:`terms`. ``seen`` (set of str):
    entries that the page has linked to already; added to."""
    by_lower = {name.lower(): entry for name, entry in names.items()}
    # The longest first: "blocked split" is not a split.
    words = "|".join(map(re.escape, sorted(names, key=len, reverse=True)))
    pattern = re.compile(rf"(?<![\w-])({words})(?![\w-])", re.I)

    def link(match):
        entry = by_lower[match.group().lower()]
        if entry in seen:
            return match.group()
        seen.add(entry)
        return f"{{term}}`{match.group()} <{entry}>`"

    parts, end = [], 0
    for kept in _KEPT.finditer(text):
        parts += [pattern.sub(link, text[end:kept.start()]), kept.group()]
        end = kept.end()
    return "".join([*parts, pattern.sub(link, text[end:])])


def faults(folder):
    """Faults of the HTML pages at the top of a folder, a line each: a link to a file that is not there, or to a name
    that its page does not have; an image without alternative text. Links to other sites are not followed."""
    from bs4 import BeautifulSoup

    pages = {path.resolve(): BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
             for path in sorted(Path(folder).glob("*.html"))}
    names = {path: {tag[key] for key in ("id", "name") for tag in page.select(f"[{key}]")}
             for path, page in pages.items()}
    found = []
    for path, page in pages.items():
        found += [f"{path.name}: no alternative text on {image.get('src', '')[:80]}" for image in page.find_all("img")
                  if not image.get("alt", "").strip()]
        for link in dict.fromkeys(tag.get("href") or tag.get("src") for tag in page.select("[href], [src]")):
            parts = urlsplit(link or "#")
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.is_file():
                found.append(f"{path.name}: link to {link}, which is not there")
            elif parts.fragment and target in names and unquote(parts.fragment) not in names[target]:
                found.append(f"{path.name}: link to {link}, but {target.name} has no such place")
    return found
