"""What a user's own class or function does, as a hash: its source, and that of what it uses."""

import ast
import inspect
import linecache
import sys
import sysconfig
import types
from pathlib import Path

from calcium_decoding.utils.files import hash_content, plain_syntax

_INSTALLED = tuple(dict.fromkeys(Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "purelib", "platlib")))
_LIBRARY = Path(__file__).resolve().parents[1]
_SIMPLE = (int, float, complex, str, bytes, bool, type(None))


def object_digest(thing):
    """Short hash (16 hexadecimal digits) of what a class, a function or an object of a class does.

    Comments, docstrings and layout do not count. What it uses by name from its own module counts too: other classes
    and functions, and constants; so do its base classes. Of what is installed, the name alone. Where there is no
    source, as in a plain interpreter, the compiled code counts, which differs between versions of Python.

    Parameters
    ----------
    thing : type, function or object

    Returns
    -------
    str
    """
    found = {}
    _collect(thing if isinstance(thing, type | types.FunctionType) else type(thing), found)
    return hash_content(found)


def is_own(thing):
    """True if a class or function is neither of Python, nor installed, nor of this library, but a user's own."""
    if isinstance(thing, types.FunctionType) or isinstance(thing, type):
        module = sys.modules.get(thing.__module__)
        if thing.__module__ in sys.builtin_module_names or thing.__module__ == "builtins":
            return False
        file = getattr(module, "__file__", None)
        if file is None:
            return True
        path = Path(file).resolve()
        return not any(path.is_relative_to(place) for place in (*_INSTALLED, _LIBRARY))
    return False


def _collect(thing, found):
    name = f"{thing.__module__}.{thing.__qualname__}"
    if name in found:
        return
    if not is_own(thing):
        found[name] = ""
        return
    node = _node(thing)
    codes = [f.__code__ for f in _functions(thing)]
    found[name] = repr([_compiled(code) for code in codes]) if node is None else plain_syntax(node)
    for base in getattr(thing, "__mro__", ())[1:]:
        _collect(base, found)
    for function in _functions(thing):
        closed = {} if function.__closure__ is None else {
            name: cell.cell_contents for name, cell in zip(function.__code__.co_freevars, function.__closure__,
                                                           strict=True) if cell is not None and _filled(cell)}
        for used in sorted(_names(function.__code__)):
            value = closed.get(used, function.__globals__.get(used))
            if isinstance(value, type | types.FunctionType):
                _collect(value, found)
            elif used in closed or used in function.__globals__:
                if isinstance(value, _SIMPLE) or (isinstance(value, tuple | list) and all(
                        isinstance(x, _SIMPLE) for x in value)):
                    found[f"{name}: {used}"] = repr(value)


def _filled(cell):
    try:
        return cell.cell_contents is not None
    except ValueError:
        return False


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
    code, kinds = functions[0].__code__, (ast.ClassDef,) if isinstance(thing, type) else (ast.FunctionDef, ast.Lambda)
    try:  # inspect alone does not find a class of a notebook cell
        tree = ast.parse("".join(linecache.getlines(code.co_filename)))
    except SyntaxError:
        return None
    around = [node for node in ast.walk(tree) if isinstance(node, kinds)
              and min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))]) <= code.co_firstlineno
              <= node.end_lineno and getattr(node, "name", thing.__name__) == thing.__name__]
    return max(around, key=lambda node: node.lineno) if around else None
