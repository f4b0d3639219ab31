"""What stands around the book: versions, lists that a reader looks in, and checklists that hold for what there is."""

import re
import subprocess
import sys
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from calcium_decoding import models
from calcium_decoding.data import catalog, readers
from decoding_book.parameters import CHAPTERS
from tests.conftest import ROOT

CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
MANIFEST = catalog.load_manifest()
DATA_SETS = [name for name in MANIFEST.entries if MANIFEST.entry(name).kind not in ("weights", "hub")]


def test_every_declared_package_is_pinned_to_a_version_it_allows():
    pinned = dict(line.split("==") for line in (ROOT / "versions.txt").read_text().split("\n")
                  if line and not line.startswith("#"))
    pinned = {_canonical(name): Version(version) for name, version in pinned.items()}
    extras = PROJECT["optional-dependencies"]
    for requirement in map(Requirement, [*PROJECT["dependencies"], *extras["book"], *extras["test"]]):
        assert _canonical(requirement.name) in pinned, f"{requirement.name}: write versions.txt anew"
        assert pinned[_canonical(requirement.name)] in requirement.specifier
    for line in (ROOT / "constraints.txt").read_text().split():
        name, version = line.split("==")
        assert pinned[_canonical(name)] == Version(version)


def _canonical(name):
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize("path", [".github/workflows/book.yml", "CITATION.cff", "CONTRIBUTING.md", "versions.txt",
                                  "book/recipes.md", "book/parameters.md"])
def test_no_path_of_a_machine_and_no_index_of_packages(path):
    assert not re.search(r"/(home|root|work|Users|tmp|opt)/|pypi|anaconda\.org|--(extra-)?index-url|file://",
                         (ROOT / path).read_text(encoding="utf-8"))


def test_contributing_names_files_that_exist():
    for name in re.findall(r"`([\w./-]+(?:/|\.)[\w./-]+)`", CONTRIBUTING):
        places = [name.replace("NN_name", chapter) for chapter in CHAPTERS]
        assert all((ROOT / place).exists() for place in places), name


def test_the_rooms_in_the_readme_are_those_there_are():
    rooms = {path.parent.name for path in (ROOT / "lib" / "calcium_decoding").glob("*/__init__.py")}
    listed = re.findall(r"^\| `(\w+)` \|", README.partition("## The library")[2], re.M)
    assert set(listed) == rooms and len(listed) == 11


def test_the_script_in_the_readme_runs():
    script, = re.findall(r"^```python\n(.*?)^```", README, re.M | re.S)
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    animals = [line.split() for line in done.stdout.splitlines() if line.startswith("mouse")]
    scores = [float(score) for words in animals for score in words[-2:]]
    assert len(animals) == 3 and all(0.5 < score <= 1 for score in scores)  # of two decoders


@pytest.mark.parametrize("name", CHAPTERS)
def test_a_chapter_is_named_wherever_a_reader_looks_for_it(name):
    assert all(field.description for field in CHAPTERS[name].model_fields.values())
    assert re.search(rf"^\| \[.*?\]\({name}\) \|", (ROOT / "book" / "intro.md").read_text(encoding="utf-8"), re.M)
    assert re.search(rf"^\| `{name}` \|", README, re.M)
    assert (ROOT / "tests" / "reference" / f"{name}.ipynb").is_file()


@pytest.mark.parametrize("name", [*models.MODELS, *models.SPEED_MODELS, *models.IMAGE_MODELS])
def test_some_chapter_takes_a_decoder_of_this_name(name):
    taken = [chapter for chapter, schema in CHAPTERS.items()
             if any(re.search(rf"[(|]{name}[|)]", getattr(part, "pattern", None) or "")
                    for field in schema.model_fields.values() for part in field.metadata)]
    assert taken or name == "cnn"  # chapter 20 is about this one alone


@pytest.mark.parametrize("name", DATA_SETS)
def test_a_data_set_says_what_it_is_and_where_it_comes_from(name):
    entry = MANIFEST.entry(name)
    assert entry.title and entry.licence and entry.role and entry.caution and entry.regime
    assert entry.rate_hz or entry.kind == "dandi"  # whose files say it
    assert {"doi": lambda: entry.doi, "repository": lambda: entry.repository and len(entry.commit) == 40,
            "dandi": lambda: entry.dandiset, "simulated": lambda: entry.seed}[entry.kind]()
    if entry.kind == "repository":
        assert entry.files and all(file.bytes and file.sha256 for file in entry.files)
    assert entry.format in readers.FORMATS and f"`{name}`" in README


def test_no_data_are_in_the_repository():
    assert {"/data/", "/_build/"} <= set((ROOT / ".gitignore").read_text().split())
    tracked = subprocess.run(["git", "ls-files", "data", "_build"], cwd=ROOT, capture_output=True, text=True)
    assert tracked.stdout == ""
