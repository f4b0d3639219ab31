"""Decoding behaviour from calcium imaging: the library under the book.

Modules, in the order in which data flow through them, are listed in the README. Nothing heavy is imported here.
"""

from importlib.metadata import version

__version__ = version("calcium-decoding")
