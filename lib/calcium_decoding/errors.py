"""Errors a reader of the book can act on.

Every refusal in this library says where the trouble is, what was found there, what was expected, and how to
mend it. :class:`DataError` is about data and files, :class:`ParameterError` about a value somebody typed,
:class:`LeakError` about a split whose training and test parts touch.
"""


class CalciumDecodingError(Exception):
    """Base of every error this library raises on purpose.

    ``where``: file, session, parameter or fold that the error is about. ``found``, ``expected``: what was there and
    what should have been. ``remedy``: what the reader can do about it.
    """

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
