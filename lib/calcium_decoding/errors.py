"""Errors a reader of the book can act on: where the trouble is, what was found, what was expected, how to mend it."""


class CalciumDecodingError(Exception):
    """Base of every error this library raises on purpose; ``where``: file, session, parameter or fold."""

    def __init__(self, where, found, expected, remedy):
        self.where, self.found, self.expected, self.remedy = str(where), found, expected, remedy
        super().__init__(self.where, found, expected, remedy)

    def __str__(self):
        return f"{self.where}: found {self.found}; expected {self.expected}. To mend it: {self.remedy}"


class DataError(CalciumDecodingError, ValueError):
    """Data that cannot be used as they are: a file, a session, an array."""


class ParameterError(CalciumDecodingError, ValueError):
    """A parameter that is unknown, of the wrong type or out of range."""


class LeakError(CalciumDecodingError, ValueError):
    """A split whose training and test parts share frames, sessions or animals."""


class WriteError(CalciumDecodingError, OSError):
    """A file that could not be written whole; nothing partial is left behind."""
