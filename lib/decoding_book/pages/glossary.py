"""Terms of the glossary, and links to them from the pages."""

import re

# Where no link may be put: code, links, roles, formulas, fenced blocks, headings, tables, comments.
_KEPT = re.compile(r"```.*?```|:::.*?:::|<!--.*?-->|\{\w+\}`[^`]*`|`[^`]*`|\[[^\]]*\]\([^)]*\)|\$[^$\n]*\$|^[#|].*?$",
                   re.M | re.S)


def terms(text):
    """Names in a glossary written as definition list, each with the entry it stands in.

    Returns dict of str to str: "Frozen, fine-tuned" is one entry with two names.
    """
    entries = re.findall(r"^(\S.*)\n: ", text, re.M)
    return {name: entry for entry in entries for name in entry.split(", ")}


def page(text):
    """The glossary as Sphinx takes it, so that pages can link to its terms."""
    title, _, rest = text.partition("\n\n")
    return f"{title}\n\n```{{glossary}}\n{re.sub(r'^: ', '  ', rest.strip(), flags=re.M)}\n```\n"


def linked(text, names, seen):
    """Prose with the first mention of each term as a link.

    ``text``: markdown. ``names`` (dict of str to str): as :func:`terms` gives it. ``seen`` (set of str): entries that
    the page has linked to already; added to.
    """
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
