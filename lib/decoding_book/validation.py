"""A parameter that is unknown, missing or out of range is refused before anything is computed."""

import difflib
import numbers

from pydantic import ValidationError

from calcium_decoding.errors import ParameterError
from decoding_book.parameters import CHAPTERS


def validate(chapter, values):
    """Check the parameters of a chapter.

    ``chapter``: a name in :data:`CHAPTERS`. Returns Parameters. Raises ParameterError: unknown, missing, of the wrong
    type or out of range; the first trouble is named with the remedy.
    """
    schema = schema_of(chapter)
    for name in values:
        if name not in schema.model_fields:
            raise _unknown(chapter, name, schema)
    # YAML and papermill write 1 for 1.0; a whole number is a fine float.
    floats = {n for n, f in schema.model_fields.items() if f.annotation is float}
    values = {n: float(v) if n in floats and _is_whole(v) else v for n, v in values.items()}
    try:
        return schema(**values)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        found = "nothing" if first["type"] == "missing" else repr(first["input"])
        raise ParameterError(f"parameter '{name}' of {chapter}", found,
                             f"{schema.model_fields[name].description} ({first['msg']})",
                             _remedy(name, first, values)) from error


def is_text(chapter, name):
    """Whether a parameter of a chapter holds text; what looks like a number is then text too, as in ``snrs = "4"``."""
    field = schema_of(chapter).model_fields.get(name)
    return field is not None and field.annotation is str


def _remedy(name, trouble, values):
    if trouble["type"] == "string_type":
        return f'give it as text: {name} = "{values[name]}"'
    return f"set {name} to such a value"


def schema_of(chapter):
    """The parameter schema of a chapter.

    Raises ParameterError: there is no such chapter.
    """
    if chapter not in CHAPTERS:
        raise ParameterError("chapter", repr(chapter), f"one of {', '.join(CHAPTERS)}", "name one of these")
    return CHAPTERS[chapter]


def _unknown(chapter, name, schema):
    near = difflib.get_close_matches(name, schema.model_fields, n=1)
    return ParameterError(
        f"parameter '{name}' of {chapter}", "a parameter this chapter does not have",
        f"one of {', '.join(schema.model_fields)}",
        f"did you mean '{near[0]}'?" if near else "leave it out, or name one of these",
    )


def _is_whole(value):
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)
