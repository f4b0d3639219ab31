"""The hash of a user's own code: what a change of it changes, and what it does not."""

import importlib.util
import itertools
import os
import sys
import textwrap

import pytest
from sklearn.linear_model import Ridge

from calcium_decoding.models import heads
from calcium_decoding.utils.source import is_own, object_digest

COUNT = itertools.count()
SOURCE = '''
WIDTH = 4
SIZES = {"hidden": 4}


def shrink(x):
    return x / 2


def logged(function):
    def wrapper(*given):
        return function(*given)
    return wrapper


class Base:
    def begin(self):
        return 1


class Mine(Base):
    """What it does."""

    def __init__(self, width=WIDTH):
        self.width = width

    def forward(self, x):
        # a comment
        return shrink(x) + 1

    @property
    def wide(self):
        return WIDTH * 2

    @staticmethod
    def of(x):
        return x - SIZES["hidden"]

    @logged
    def late(self):
        return 3
'''


@pytest.fixture
def module(tmp_path):
    """A function that writes a source to a file of its own and imports it, always under the same name."""
    def write(source):
        path = tmp_path / f"{next(COUNT)}.py"
        path.write_text(textwrap.dedent(source))
        spec = importlib.util.spec_from_file_location("own_code", path)
        found = sys.modules["own_code"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(found)
        return found

    yield write
    sys.modules.pop("own_code", None)


def digests(module, old, new, source=SOURCE, thing="Mine"):
    assert old in source
    return [object_digest(getattr(module(text), thing)) for text in (source, source.replace(old, new))]


@pytest.mark.parametrize(("old", "new"), [
    ("# a comment", "# another one\n\n"), ('"""What it does."""', '"""Another docstring."""'),
    ("shrink(x) + 1", "(shrink(x)\n                + 1)")])
def test_comments_docstrings_and_layout_do_not_count(module, old, new):
    before, after = digests(module, old, new)
    assert before == after and len(before) == 16


@pytest.mark.parametrize(("old", "new"), [
    ("shrink(x) + 1", "shrink(x) + 2"), ("return x / 2", "return x / 3"), ("return 1", "return 2"),
    ("WIDTH * 2", "WIDTH * 3"), ("return x -", "return x +"), ("return 3", "return 4"),
    ("self.width = width", "self.breadth = width")])
def test_the_code_of_a_class_its_bases_and_the_functions_it_uses_counts(module, old, new):
    before, after = digests(module, old, new)
    assert before != after


@pytest.mark.parametrize(("source", "old", "new"), [
    ("WIDTH = 4\nclass Mine:\n    def f(self):\n        return WIDTH\n", "4", "5"),
    ("WIDTH = (4, 'a')\nclass Mine:\n    def f(self):\n        return lambda: WIDTH\n", "4", "5"),
    ("def make(k):\n    class Mine:\n        def f(self):\n            return k\n    return Mine\nMine = make(4)\n",
     "make(4)", "make(5)")])
def test_a_constant_that_a_method_uses_counts(module, source, old, new):
    before, after = digests(module, old, new, source)
    assert before != after


@pytest.mark.parametrize(("source", "old", "new"), [
    ("WIDTH = 4\nclass Mine:\n    def __init__(self, width=WIDTH):\n        self.width = width\n", "= 4", "= 5"),
    ("WIDTH = 4\nclass Mine:\n    width = WIDTH\n    def f(self):\n        return self.width\n", "= 4", "= 5"),
    ("SIZES = {'a': 4}\nclass Mine:\n    def f(self):\n        return SIZES['a']\n", "4", "5"),
    ("SIZES = ((4, 4), 2)\nclass Mine:\n    def f(self):\n        return SIZES\n", "(4,", "(5,")],
    ids=["default argument", "class attribute", "dict", "nested tuple"])
def test_a_constant_that_a_class_uses_elsewhere_or_as_a_collection_counts(module, source, old, new):
    before, after = digests(module, old, new, source)
    assert before != after


@pytest.mark.parametrize("wraps", ["", "@functools.wraps(function)"])
def test_what_a_decorator_does_counts(module, wraps):
    source = f"""
import functools
def twice(function):
    {wraps}
    def wrapper(*given):
        return 2 * function(*given)
    return wrapper
class Mine:
    @twice
    def f(self):
        return 1
"""
    before, after = digests(module, "2 * function", "3 * function", source)
    assert before != after


def test_what_two_lambdas_of_a_module_do_counts(module):
    source = "a = lambda x: x\nb = lambda x: x + 1\nclass Mine:\n    def f(self, x):\n        return a(b(x))\n"
    before, after = digests(module, "x + 1", "x + 2", source)
    assert before != after


def test_two_lambdas_of_one_line_differ():
    first, second = (lambda x: x, lambda x: x + 1)
    assert object_digest(first) != object_digest(second)


def test_a_module_that_is_edited_and_loaded_again_has_another_hash(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    path = tmp_path / "edited_in_session.py"
    path.write_text("class Mine:\n    def f(self):\n        return 1\n")
    module = importlib.import_module("edited_in_session")
    before = object_digest(module.Mine)
    path.write_text("class Mine:\n    def f(self):\n        return 22\n")
    os.utime(path, (1, 2**31))
    importlib.invalidate_caches()
    importlib.reload(module)
    assert module.Mine().f() == 22 and object_digest(module.Mine) != before


def test_an_object_has_the_hash_of_its_class_and_of_what_it_holds():
    assert object_digest(Ridge(3.0)) == object_digest(Ridge(3.0)) != object_digest(Ridge())
    assert object_digest(Ridge) != object_digest(dict)


def test_classes_without_source_are_told_apart_by_their_code():
    def made(number):
        space = {"__name__": "nowhere"}
        exec(f"class Mine:\n    def f(self):\n        return {number}\n", space)
        return space["Mine"]

    assert object_digest(made(1)) == object_digest(made(1)) != object_digest(made(2))


def test_whose_code_it_is(module):
    mine = module(SOURCE)
    assert all(map(is_own, (mine.Mine, mine.shrink, test_whose_code_it_is)))
    assert not any(map(is_own, (Ridge, heads.Head, heads.class_weights, os.path.join, dict, len, 3)))


def test_classes_that_use_each_other_end(module):
    source = "class Mine:\n    def f(self):\n        return It\nclass It:\n    def f(self):\n        return Mine\n"
    before, after = digests(module, "return Mine", "return Mine()", source)
    assert before != after


def test_a_name_that_is_not_filled_yet_is_no_obstacle():
    def made():
        class Mine:
            def f(self):
                return later

        digest = object_digest(Mine)
        later = 3
        return digest, later

    assert len(made()[0]) == 16
