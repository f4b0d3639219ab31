"""The page of parameters: equal to what the command writes, and true to what the schemas accept and refuse."""

import re

import pytest
from pydantic import Field, create_model

from calcium_decoding.errors import ParameterError
from decoding_book import execute
from decoding_book.pages import parameter_list
from decoding_book.parameters import CHAPTERS, validate
from tests.conftest import ROOT

PAGE = ROOT / "book" / "parameters.md"


def rows_of(chapter):
    """Cells of the table of a chapter on the committed page, by parameter."""
    section = next(s for s in PAGE.read_text(encoding="utf-8").split("\n## ") if f"]({chapter})" in s)
    cells = [re.split(r"(?<!\\)\|", line)[1:-1] for line in section.splitlines() if line.startswith("| `")]
    return {row[0].strip(" `"): [cell.strip() for cell in row[1:]] for row in cells}


def field(kind, **options):
    return create_model("Model", x=(kind, Field(**options))).model_fields["x"]


def test_the_page_is_what_the_command_writes(tmp_path):
    written = parameter_list.write(tmp_path / "page.md").read_text(encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == written, f"write it anew: {parameter_list.COMMAND}"


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_parameter_has_its_row_and_the_page_says_what_a_profile_runs_with(chapter):
    rows = rows_of(chapter)
    assert list(rows) == list(CHAPTERS[chapter].model_fields)
    for profile in execute.PROFILES:
        for name, value in execute.merged_parameters(chapter, profile).items():
            _, kind, _, default, profiles, _ = rows[name]
            said = dict(part.split(" ", 1) for part in profiles.split("<br>") if part != "–").get(profile, default)
            shown = str(value).lower() if isinstance(value, bool) else str(value)
            said = "" if said == "empty" else said.strip("`")
            assert float(said) == value if kind == "number" else said == shown


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_ends_of_ranges_are_accepted_and_values_beyond_them_refused(chapter):
    good = execute.merged_parameters(chapter, "demo")
    for name, (_, kind, _, _, _, allowed) in rows_of(chapter).items():
        found = re.fullmatch(r"([\d,]+) to ([\d,]+)", allowed)
        if found and kind == "whole number":
            low, high = (int(x.replace(",", "")) for x in found.groups())
            for end in (low, high):
                validate(chapter, good | {name: end})
            for beyond in (low - 1, high + 1):
                with pytest.raises(ParameterError):
                    validate(chapter, good | {name: beyond})


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_name_the_page_lists_is_accepted_and_another_refused(chapter):
    good = execute.merged_parameters(chapter, "demo")
    for name, (_, kind, _, _, _, allowed) in rows_of(chapter).items():
        choices = [] if kind != "text" else re.findall(r"`([\w-]+)`", allowed)
        for choice in choices:
            validate(chapter, good | {name: choice})
        if choices:
            for value, listed in (("nonsense", False), ("", "empty" in allowed),
                                  (",".join(choices[:1] * 2), "comma between" in allowed)):
                if listed:
                    validate(chapter, good | {name: value})
                else:
                    with pytest.raises(ParameterError):
                        validate(chapter, good | {name: value})


@pytest.mark.parametrize(("kind", "description", "unit"), [
    (float, "length of the stretch shown, s", "s"), (int, "length of the moving baseline, frames", "frames"),
    (float, "embargo between blocks, autocorrelation times of running", "autocorrelation times"),
    (int, "windows a step", "windows"), (int, "epochs over the training windows", "epochs"),
    (int, "train and validate on one image in so many", "images"), (int, "which recording, counted from 0", ""),
    (float, "highest learning rate on images", ""), (str, "label shifts, frames, comma between", "frames"),
    (int, "seed of everything random", ""), (bool, "leave windows out", "")])
def test_units_are_read_from_descriptions(kind, description, unit):
    assert parameter_list.unit_of(field(kind, description=description)) == unit


@pytest.mark.parametrize(("kind", "limits", "said"), [
    (int, {"ge": 1, "le": 1000}, "1 to 1,000"), (int, {"ge": 0, "lt": 8}, "0 to 7"), (int, {"ge": 3}, "3 or more"),
    (float, {"gt": 0, "le": 1}, "more than 0, at most 1"), (float, {"ge": 0, "lt": 1}, "0 or more, less than 1"),
    (float, {"lt": 2}, "less than 2"), (int, {}, "any"), (bool, {}, "`true`, `false`"),
    (str, {"min_length": 1}, "not empty"), (str, {}, "any")])
def test_ranges_in_words(kind, limits, said):
    assert parameter_list.allowed(field(kind, description="x", **limits)) == said


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_numbers_in_a_list_are_as_the_page_says(chapter):
    good = execute.merged_parameters(chapter, "demo")
    for name, (_, _, _, _, _, allowed) in rows_of(chapter).items():
        if not re.search(r"numbers.*comma between", allowed) or "moving_mean" in allowed:
            continue
        digits = re.search(r"at most (\d) digits", allowed)
        tried = {"7,0": "above 0" not in allowed, "0,1.5": allowed.startswith("numbers"), "": "or empty" in allowed,
                 "0,-3": "negative" in allowed, "7,": False, "many": False,
                 "0," * ("above 0" not in allowed) + "9" * 8: not digits}
        if digits:
            tried |= {"0," * ("above 0" not in allowed) + "9" * int(digits.group(1)): True}
        for value, accepted in tried.items():
            if accepted:
                validate(chapter, good | {name: value})
            else:
                with pytest.raises(ParameterError):
                    validate(chapter, good | {name: value})
