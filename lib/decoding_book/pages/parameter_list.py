"""The page ``book/parameters.md``: every parameter of every chapter, from schemas, chapters and profiles."""

import re

from calcium_decoding.data.catalog import project_root
from calcium_decoding.utils.files import write_text
from decoding_book import execute
from decoding_book.pages import markdown
from decoding_book.parameters import CHAPTERS, Parameters

PAGE = "parameters.md"
COMMAND = "calcium-decoding book parameters"
_TYPES = {"int": "whole number", "float": "number", "str": "text", "bool": "true or false"}
# A description names its unit behind a comma ("length of the stretch shown, s"), or begins with what is counted.
_MEASURED = ("s", "ms", "Hz", "frames", "px", "%", "cm/s", "autocorrelation times")
_COUNTED = ("frames", "windows", "images", "folds", "sessions", "recordings", "animals", "data sets", "draws", "blocks",
            "trees", "threads", "pixels", "epochs", "steps", "ROIs", "bins", "trials", "components", "units", "cells",
            "points", "samples", "shuffles", "seeds")


def page():
    """The text of the page; the same schemas, chapters and profiles give the same text."""
    every = list(Parameters.model_fields)
    parts = [_TOP.format(command=COMMAND, every=", ".join(f"`{name}`" for name in every))]
    for chapter, schema in CHAPTERS.items():
        own = execute.defaults(chapter)
        profiles = {profile: execute.profile_parameters(chapter, profile) for profile in execute.PROFILES}
        rows = [_row(name, field, own[name], profiles) for name, field in schema.model_fields.items()]
        question = execute.notebook_of(chapter).cells[0].source.splitlines()[0].removeprefix("# ")
        parts.append(f"## {question}\n\nChapter [{chapter}]({chapter}).\n\n{markdown.table(_HEAD, rows)}")
    return "\n".join(parts)


def write(path=None):
    """Write the page, whole or not at all, and return its path.

    ``path``: ``book/parameters.md`` if left out.
    """
    path = path or project_root() / "book" / PAGE
    write_text(path, page())
    return path


def unit_of(field):
    """Unit of a parameter, as its description says it; empty where there is none, as of a rate or a seed.

    ``field``: pydantic.fields.FieldInfo. Returns str.
    """
    if field.annotation is bool:
        return ""
    phrase = re.split(r"[;:]", field.description)[0]
    for part in phrase.split(",")[1:]:
        for unit in _MEASURED:
            if re.fullmatch(rf"\s*{re.escape(unit)}(\sof\s.+)?", part):
                return unit
    if field.annotation is int and "one image in so many" in phrase:
        return "images"
    if field.annotation is int and "one window in so many" in phrase:
        return "windows"
    found = re.search(rf"\b({'|'.join(_COUNTED)})\b", phrase)
    counted = found and (field.annotation is int or (field.annotation is str and found.start() == 0))
    return found.group() if counted and "counted from" not in phrase else ""


def allowed(field):
    """The values that a parameter may have, in words.

    ``field``: pydantic.fields.FieldInfo. Returns str.
    """
    if field.annotation is bool:
        return "`true`, `false`"
    limits = {name: getattr(m, name) for m in field.metadata
              for name in ("ge", "gt", "le", "lt", "min_length", "pattern") if getattr(m, name, None) is not None}
    if "pattern" in limits:
        return _of_pattern(limits["pattern"])
    if field.annotation is str:
        return "not empty" if limits.get("min_length") else "any"
    low = f"{limits['ge']:,}" if "ge" in limits else f"more than {limits['gt']:,}" if "gt" in limits else ""
    if field.annotation is int and "lt" in limits:
        limits["le"] = limits["lt"] - 1
    high = f"at most {limits['le']:,}" if "le" in limits else f"less than {limits['lt']:,}" if "lt" in limits else ""
    if "ge" in limits:
        return f"{low} to {limits['le']:,}" if "le" in limits else f"{low} or more" + f", {high}" * bool(high)
    return ", ".join(filter(None, (low, high))) or "any"


def _of_pattern(pattern):
    """A pattern of the schemas in words: one name, or a list of names or numbers; empty where that is allowed."""
    body = re.fullmatch(r"\^(.*)\$", pattern).group(1)
    optional = re.fullmatch(r"\((.*)\)\?", body)
    body, empty = (optional.group(1), ", or empty") if optional and _balanced(optional.group(1)) else (body, "")
    one, *more = re.split(r"\(,", body, maxsplit=1)
    many = bool(more) and more[0] == f"{one})*"
    names = one[1:-1] if one.startswith("(") and one.endswith(")") else one
    if re.fullmatch(r"[\w|-]+", names) and (many or not more):
        said = ", ".join(f"`{name}`" for name in names.split("|"))
        return (f"one or more of {said}, comma between" if many else said) + empty
    number = re.fullmatch(r"(\[1-9\])?\\d(\*|\+|\{[01],\d\})(\(\\\.\\d\+\)\?)?", names)
    if many and number:
        first, digits, fraction = number.groups()
        most = int(digits[-2]) + bool(first) if "{" in digits else 0
        return (("numbers" if fraction else "whole numbers") + " above 0" * bool(first)
                + f" of at most {most} digits" * bool(most) + f", comma between{empty}")
    return f"as the pattern `{pattern}`".replace("|", r"\|")


def _balanced(text):
    depth = 0
    for character in text:
        depth += {"(": 1, ")": -1}.get(character, 0)
        if depth < 0:
            return False
    return depth == 0


def _row(name, field, default, profiles):
    says = field.description
    range_in_words = allowed(field)
    head, _, tail = says.partition(":")
    choices = set(re.findall(r"`([\w-]+)`", range_in_words))
    if choices and choices <= set(re.findall(r"[\w-]+", tail)):  # the names stand in their own column
        says = "; ".join([head, *(f"{name}: {meaning}" for name, meaning in re.findall(r"([\w-]+) \((.+?)\)", tail))])
    changed = [f"{profile} {_value(values[name])}" for profile, values in profiles.items()
               if name in values and values[name] != default]
    return (f"`{name}`", says, _TYPES[field.annotation.__name__], unit_of(field) or "–", _value(default),
            "<br>".join(changed) or "–", range_in_words)


def _value(value):
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return "empty" if value == "" else f"`{value}`".replace("|", r"\|")


_HEAD = ("parameter", "what", "type", "unit", "default", "profiles", "allowed")
_TOP = """\
<!-- Written by `{command}` from the schemas, the chapters and the profiles: edit those. -->

# Which parameters does each chapter have?

Set any of them by `calcium-decoding book run CHAPTER -p NAME VALUE`, or in the cell of parameters of the notebook; see
[](recipes). A name that a chapter does not have, a value of another type or one out of range is refused before anything
is computed. Every chapter has {every}.

- **default**: what stands in the chapter itself, and holds in the profile `demo` unless that says otherwise.
- **profiles**: what `smoke`, `demo` and `paper` set in its place.
- **unit**: of the value, or what it counts; – where it has none.
"""
