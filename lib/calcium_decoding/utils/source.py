"""What a user's own class or function does, as a hash: its source, and that of what it uses."""

import ast
import contextlib
import functools
import inspect
import linecache
import sys
import sysconfig
import types
from pathlib import Path

import numpy as np

from calcium_decoding.utils.files import hash_bytes, hash_content, plain_syntax

_INSTALLED = tuple(dict.fromkeys(Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "purelib", "platlib")))
_LIBRARY = Path(__file__).resolve().parents[1]
_SIMPLE = (int, float, complex, str, bytes, bool, type(None))


def object_digest(thing):
    """Short hash (16 hexadecimal digits) of what a class, a function or an object of a class does.

    Comments, docstrings, layout and module do not count; what it uses by name does: classes and functions of one's own,
    constants, base classes; of what is installed, the name alone. Without source, the compiled code counts.
    """
    return hash_content(_digested(thing))


def _digested(value):
    """What decides what a value does, as something JSON holds."""
    if isinstance(value, _SIMPLE):
        return repr(value)
    if isinstance(value, np.ndarray | np.generic):
        return ["array", hash_bytes(np.atleast_1d(np.asarray(value)))]
    if isinstance(value, dict):
        return ["dict", sorted(([_digested(k), _digested(v)] for k, v in value.items()), key=repr)]
    if isinstance(value, tuple | list):
        return [type(value).__name__, [_digested(x) for x in value]]
    if isinstance(value, set | frozenset):
        return ["set", sorted((_digested(x) for x in value), key=repr)]
    if isinstance(value, functools.partial):
        return ["partial", _digested(value.func), _digested(value.args), _digested(value.keywords)]
    if isinstance(value, type | types.FunctionType):
        found = {}
        _collect(value, found, [])
        return found
    if hasattr(value, "detach"):  # a tensor; torch is not imported here
        return ["tensor", hash_bytes(value.detach().cpu().numpy())]
    state = value.get_params(deep=False) if hasattr(value, "get_params") else getattr(value, "__dict__", {})
    return [_digested(type(value)), _digested(state)]


def is_own(thing):
    """True if a class or function is neither of Python, nor installed, nor of this library, but a user's own."""
    if not isinstance(thing, types.FunctionType | type) or thing.__module__ in sys.builtin_module_names:
        return False
    file = getattr(sys.modules.get(thing.__module__), "__file__", None)
    if file is None:
        return True
    return not any(Path(file).resolve().is_relative_to(place) for place in (*_INSTALLED, _LIBRARY))


def _collect(thing, found, seen):
    if not is_own(thing):
        found[f"{thing.__module__}.{thing.__qualname__}"] = ""
        return
    name = thing.__qualname__  # the module of what is one's own does not count: a cell may become a file
    if any(known is thing for known in seen):
        return
    seen.append(thing)
    name += "" if name not in found else f" {len(seen)}"
    functions = _functions(thing)
    node = None if thing.__name__ == "<lambda>" else _node(thing)
    names = {n for f in functions for n in _names(f.__code__)}
    if node is None:  # of a lambda the code itself counts: there may be several in a line
        found[name] = repr([_compiled(f.__code__) for f in functions])
    else:
        names |= {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}  # defaults, decorators, the body of a class
        found[name] = plain_syntax(node)
    for base in getattr(thing, "__mro__", ())[1:]:
        _collect(base, found, seen)
    known = {**getattr(sys.modules.get(thing.__module__), "__dict__", {})}
    for function in functions:
        known |= function.__globals__ | _closed(function)
    for used in sorted(names & known.keys()):
        value = known[used]
        if isinstance(value, type | types.FunctionType):
            _collect(value, found, seen)
        elif _is_plain(value):
            found[f"{name}: {used}"] = repr(value)


def _is_plain(value):
    if isinstance(value, dict):
        return all(_is_plain(x) for pair in value.items() for x in pair)
    return isinstance(value, _SIMPLE) or (isinstance(value, tuple | list) and all(map(_is_plain, value)))


def _closed(function):
    """Names that a function took from around it, with their values; those that are not filled yet are left out."""
    found = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        with contextlib.suppress(ValueError):
            found[name] = cell.cell_contents
    return found


def _functions(thing):
    if isinstance(thing, types.FunctionType):
        return [inspect.unwrap(thing)]
    found = []
    for value in vars(thing).values():
        value = getattr(value, "fget", None) or getattr(value, "__func__", value)
        if isinstance(value, types.FunctionType):
            found.append(inspect.unwrap(value))
    return found


def _names(code):
    inner = [_names(c) for c in code.co_consts if isinstance(c, types.CodeType)]
    return {*code.co_names, *code.co_freevars}.union(*inner)


def _compiled(code):
    return [code.co_code.hex(), list(code.co_names),
            [_compiled(c) if isinstance(c, types.CodeType) else repr(c) for c in code.co_consts]]


def _node(thing):
    """Syntax tree of a class or function, found by a line of its code; None where there is no source."""
    functions = _functions(thing)
    if not functions:
        return None
    code, kind = functions[0].__code__, ast.ClassDef if isinstance(thing, type) else ast.FunctionDef
    linecache.checkcache(code.co_filename)  # a file may have been edited since
    try:  # inspect alone does not find a class of a notebook cell
        tree = ast.parse("".join(linecache.getlines(code.co_filename)))
    except SyntaxError:
        return None
    around = [node for node in ast.walk(tree) if isinstance(node, kind) and node.name == thing.__name__
              and min([node.lineno, *(d.lineno for d in node.decorator_list)]) <= code.co_firstlineno
              <= node.end_lineno]
    return max(around, key=lambda node: node.lineno) if around else None
