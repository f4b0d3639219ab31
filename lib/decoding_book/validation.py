"""A parameter that is unknown, missing or out of range is refused before anything is computed."""

import difflib
import numbers

from pydantic import ValidationError

from calcium_decoding.errors import ParameterError
from decoding_book.parameters import CHAPTERS


def schema_of(chapter):
    """The parameter schema of a chapter; ParameterError if there is no such chapter."""
    if chapter not in CHAPTERS:
        raise ParameterError("chapter", repr(chapter), f"one of {', '.join(CHAPTERS)}", "name one of these")
    return CHAPTERS[chapter]


def validate(chapter, values):
    """The parameters of a chapter, checked.

    ParameterError, which names the first trouble and its remedy: one is unknown, missing, of another type or out of
    range.
    """
    fields = schema_of(chapter).model_fields
    for name in values:
        if name not in fields:
            near = difflib.get_close_matches(name, fields, n=1)
            raise ParameterError(f"parameter '{name}' of {chapter}", "a parameter this chapter does not have",
                                 f"one of {', '.join(fields)}",
                                 f"did you mean '{near[0]}'?" if near else "leave it out, or name one of these")
    # YAML and papermill write 1 for 1.0; a whole number is a fine float.
    values = {n: float(v) if fields[n].annotation is float and _is_whole(v) else v for n, v in values.items()}
    try:
        return CHAPTERS[chapter](**values)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        found = "nothing" if first["type"] == "missing" else repr(first["input"])
        allowed = (fields[name].json_schema_extra or {}).get("allowed", "").replace("`", "")
        wanted = allowed if first["type"] == "string_pattern_mismatch" else first["msg"]
        remedy = f'give it as text: {name} = "{values[name]}"' if first["type"] == "string_type" else \
            f"set {name} to such a value"
        raise ParameterError(f"parameter '{name}' of {chapter}", found, f"{fields[name].description} ({wanted})",
                             remedy) from error


def is_text(chapter, name):
    """Whether a parameter of a chapter holds text; what looks like a number is then text too, as in ``snrs = "4"``."""
    field = schema_of(chapter).model_fields.get(name)
    return field is not None and field.annotation is str


def _is_whole(value):
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)
