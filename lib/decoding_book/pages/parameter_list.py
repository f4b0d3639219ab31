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
_MEASURED = "s|ms|Hz|frames|px|%|cm/s|autocorrelation times"
_COUNTED = ("frames|windows|images|folds|sessions|recordings|animals|data sets|draws|blocks|trees|threads|pixels|"
            "epochs|steps|ROIs|bins|trials|components|units|cells|points|samples|shuffles|seeds")
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


def page():
    """The text of the page; the same schemas, chapters and profiles give the same text."""
    parts = [_TOP.format(command=COMMAND, every=", ".join(f"`{name}`" for name in Parameters.model_fields))]
    for chapter, schema in CHAPTERS.items():
        own = execute.defaults(chapter)
        profiles = {profile: execute.profile_parameters(chapter, profile) for profile in execute.PROFILES}
        rows = []
        for name, field in schema.model_fields.items():
            changed = [f"{profile} {_value(values[name])}" for profile, values in profiles.items()
                       if name in values and values[name] != own[name]]
            rows.append((f"`{name}`", field.description, _TYPES[field.annotation.__name__], unit_of(field) or "–",
                         _value(own[name]), "<br>".join(changed) or "–", allowed(field)))
        question = execute.notebook_of(chapter).cells[0].source.splitlines()[0].removeprefix("# ")
        parts.append(f"## {question}\n\nChapter [{chapter}]({chapter}).\n\n{markdown.table(_HEAD, rows)}")
    return "\n".join(parts)


def write(path=None):
    """Write the page, whole or not at all; returns its path."""
    path = path or project_root() / "book" / PAGE
    write_text(path, page())
    return path


def unit_of(field):
    """Unit of a parameter, as its description says it; empty where there is none, as of a rate or a seed."""
    if field.annotation is bool:
        return ""
    phrase = re.split(r"[;:]", field.description)[0]
    if measured := re.search(rf",\s*({_MEASURED})(?=,|$|\sof\s)", phrase):
        return measured.group(1)
    if field.annotation is int and (every := re.search(r"one (image|window) in so many", phrase)):
        return f"{every.group(1)}s"
    found = re.search(rf"\b({_COUNTED})\b", phrase)
    counted = found and (field.annotation is int or (field.annotation is str and found.start() == 0))
    return found.group() if counted and "counted from" not in phrase else ""


def allowed(field):
    """The values that a parameter may have, in words."""
    if field.annotation is bool:
        return "`true`, `false`"
    if field.json_schema_extra:
        return field.json_schema_extra["allowed"]
    limits = {name: getattr(m, name) for m in field.metadata
              for name in ("ge", "gt", "le", "lt", "min_length") if getattr(m, name, None) is not None}
    if field.annotation is str:
        return "not empty" if limits.get("min_length") else "any"
    if field.annotation is int and "lt" in limits:
        limits["le"] = limits["lt"] - 1
    if "ge" in limits and "le" in limits:
        return f"{limits['ge']:,} to {limits['le']:,}"
    words = {"ge": "{:,} or more", "gt": "more than {:,}", "le": "at most {:,}", "lt": "less than {:,}"}
    return ", ".join(said.format(limits[name]) for name, said in words.items() if name in limits) or "any"


def _value(value):
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return "empty" if value == "" else f"`{value}`".replace("|", r"\|")
