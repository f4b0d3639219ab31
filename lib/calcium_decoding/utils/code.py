"""What decides a stored result beside its settings: a digest of the rooms whose code computes it."""

import inspect
from functools import cache
from pathlib import Path

from calcium_decoding.utils.files import file_digest, hash_content, source_digest

PACKAGE = Path(__file__).parents[1]
# A fold's result. Where jobs run, how they are shown and what is drawn of them decide nothing.
FOLD_ROOMS = ("data", "preprocessing", "splits", "models", "evaluation/metrics.py", "experiments")


@cache
def code_digest(*places):
    """Short hash (16 hexadecimal digits) of what the code in some rooms does, and of tables (``.csv``) beside it.

    ``places``: rooms, such as ``"models"`` or ``"simulation/widefield"``; other folders or files; of a function, the
    room in which it is defined, or its file outside this library. Raises FileNotFoundError: there is no such room.
    """
    found = {}
    for place in places:
        if callable(place):
            base = Path(inspect.getsourcefile(place)).resolve()
            base = PACKAGE / base.relative_to(PACKAGE).parts[0] if base.is_relative_to(PACKAGE) else base
        else:
            base = PACKAGE / place  # a Path from the root stays what it is
        files = [base] if base.is_file() else sorted(p for p in base.rglob("*") if p.suffix in (".py", ".csv"))
        if not files:
            raise FileNotFoundError(f"no code in {base}")
        for path in files:
            digest = source_digest(path) if path.suffix == ".py" else file_digest(path)
            found[path.relative_to(PACKAGE if path.is_relative_to(PACKAGE) else base.parent).as_posix()] = digest
    return hash_content(found)
