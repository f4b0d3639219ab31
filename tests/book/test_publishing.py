"""What stands around the book: workflow, versions, citation, licence, and checklists that hold for what there is."""

import re
import subprocess
import sys
import tomllib

import pytest
import torch
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

from calcium_decoding import models
from calcium_decoding.data import catalog, readers
from decoding_book import claims, execute
from decoding_book.parameters import CHAPTERS
from decoding_book.validation import schema_of
from tests.conftest import ROOT

WORKFLOW = ROOT / ".github" / "workflows" / "book.yml"
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
MANIFEST = catalog.load_manifest()
DATA_SETS = [name for name in MANIFEST.names() if MANIFEST.entry(name).kind != "weights"]


def steps():
    jobs = yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))["jobs"]
    return {name: job["steps"] for name, job in jobs.items()}


def commands(job):
    return "\n".join(step.get("run", "") for step in steps()[job])


def test_the_workflow_tests_builds_and_publishes_what_the_makefile_makes():
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.M))
    for job in ("test", "build"):
        assert set(re.findall(r"make (\w+)", commands(job))) == {job if job == "test" else "book"} <= targets
        assert "-c versions.txt -e '.[book,test]'" in commands(job)
    content = yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))
    publish = content["jobs"]["publish"]
    assert publish["needs"] == ["test", "build"] and "refs/heads/main" in publish["if"]
    assert content["permissions"] == {"contents": "read"}
    assert all(re.search(r"@v\d+$", step["uses"]) for mine in steps().values() for step in mine if "uses" in step)
    profile = content["jobs"]["build"]["env"]["PROFILE"]
    assert {"demo", "smoke"} == set(re.findall(r"'(demo|smoke|paper)'", profile)) <= set(execute.PROFILES)


def test_the_workflow_publishes_the_folder_of_the_pages_and_keeps_what_a_build_may_take_up():
    paths = {step.get("uses", "").split("@")[0]: step.get("with", {}).get("path") for step in steps()["build"]}
    assert paths["actions/upload-pages-artifact"] == "_build/html"
    kept = set(paths["actions/cache"].split())
    assert kept == {"_build/executed", "_build/folds", "_build/simulated"}
    source = "".join(p.read_text(encoding="utf-8") for p in (ROOT / "lib").rglob("*.py"))
    for name in ("html", *(path.split("/")[1] for path in kept)):
        assert f'"_build" / "{name}"' in source  # a folder that was renamed would be kept, or published, no more
    hashed = next(s["with"]["key"] for s in steps()["build"] if "cache@" in s.get("uses", ""))
    for pattern in re.findall(r"'([^']+)'", hashed):
        assert list(ROOT.glob(pattern)), pattern


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


def test_the_citation_file_has_what_the_format_requires_and_agrees_with_the_project():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["cff-version"] == "1.2.0" and citation["message"] and citation["title"] and citation["authors"]
    assert citation["version"] == PROJECT["version"] and citation["license"] == PROJECT["license"]["text"] == "MIT"
    for entry in citation["references"]:
        assert {"type", "title", "authors"} <= set(entry)
        for author in entry["authors"]:
            assert set(author) == {"family-names", "given-names"}
    bibliography = (ROOT / "book" / "references.bib").read_text(encoding="utf-8")
    ajioka, mirzaee = citation["references"]
    assert f"doi = {{{ajioka['doi']}}}" in bibliography
    assert mirzaee["identifiers"][0]["value"].removeprefix("arXiv:") in bibliography
    for entry in (ajioka, mirzaee):
        first = entry["authors"][0]["family-names"]
        title = re.search(rf"author = {{{first}.*?title = {{(.+?)}},\n", bibliography, re.S).group(1)
        assert entry["title"] == re.sub(r"[{}]", "", title)


def test_the_licence_is_mit():
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert text.startswith("MIT License") and "the calcium-decoding contributors" in text
    assert "WITHOUT WARRANTY OF ANY KIND" in text


def test_the_readme_leads_to_all_of_it():
    for name in ("CONTRIBUTING.md", "CITATION.cff", "LICENSE", "book/recipes.md", "book/parameters.md",
                 ".github/workflows/book.yml"):
        assert (ROOT / name).is_file() and name in README, name


@pytest.mark.parametrize("path", [WORKFLOW, ROOT / "CITATION.cff", ROOT / "CONTRIBUTING.md", ROOT / "versions.txt",
                                  ROOT / "book" / "recipes.md", ROOT / "book" / "parameters.md"], ids=lambda p: p.name)
def test_no_path_of_a_machine_and_no_index_of_packages(path):
    assert not re.search(r"/(home|root|work|Users|tmp|opt)/|pypi|anaconda\.org|--(extra-)?index-url|file://",
                         path.read_text(encoding="utf-8"))


def test_contributing_is_one_page_and_names_files_that_exist():
    assert len(CONTRIBUTING.splitlines()) <= 80
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
    assert execute.notebook_of(name).cells[0].source.splitlines()[0].endswith("?")
    assert all(field.description for field in schema_of(name).model_fields.values())
    assert f"]({name})" in (ROOT / "book" / "parameters.md").read_text(encoding="utf-8")
    assert all(execute.merged_parameters(name, profile) for profile in execute.PROFILES)
    assert f"- file: {name}\n" in (ROOT / "_toc.yml").read_text(encoding="utf-8")
    assert re.search(rf"^\| \[.*?\]\({name}\) \|", (ROOT / "book" / "intro.md").read_text(encoding="utf-8"), re.M)
    assert re.search(rf"^\| `{name}` \|", README, re.M)
    assert (ROOT / "tests" / "reference" / f"{name}.ipynb").is_file()


def test_claims_name_chapters_that_there_are():
    named = {chapter for study in claims.load().studies for group in study.groups for claim in group.claims
             for side in (claim.ours, claim.sound) if side for chapter in side.chapters}
    assert named <= set(CHAPTERS)


@pytest.mark.parametrize("name", [*models.MODELS, *models.SPEED_MODELS])
def test_a_decoder_of_traces_takes_windows_and_gives_a_number_each(name):
    decoder = models.build(name, 3, 5, seed=1)
    assert decoder.head.size == 1
    if isinstance(decoder, torch.nn.Module):
        assert decoder(torch.zeros(2, 11, 3)).shape == (2,)
    else:
        assert callable(decoder.fit) and callable(decoder.output)


@pytest.mark.parametrize("name", [*models.MODELS, *models.SPEED_MODELS, *models.IMAGE_MODELS])
def test_some_chapter_takes_a_decoder_of_this_name(name):
    taken = [chapter for chapter, schema in CHAPTERS.items()
             if any(re.search(rf"[(|]{name}[|)]", getattr(part, "pattern", None) or "")
                    for field in schema.model_fields.values() for part in field.metadata)]
    assert taken or name == "cnn"  # chapter 20 is about this one alone


@pytest.mark.parametrize("name", DATA_SETS)
def test_a_data_set_says_what_it_is_and_where_it_comes_from(name):
    entry = MANIFEST.entry(name)
    assert entry.title and entry.licence and entry.role and entry.caution and entry.rate_hz and entry.regime
    assert {"doi": lambda: entry.doi, "repository": lambda: entry.repository and len(entry.commit) == 40,
            "simulated": lambda: entry.seed}[entry.kind]()
    if entry.kind == "repository":
        assert entry.files and all(file.bytes and file.sha256 for file in entry.files)
    assert entry.format in readers.FORMATS and f"`{name}`" in README


def test_no_data_are_in_the_repository():
    assert {"/data/", "/_build/"} <= set((ROOT / ".gitignore").read_text().split())
    tracked = subprocess.run(["git", "ls-files", "data", "_build"], cwd=ROOT, capture_output=True, text=True)
    assert tracked.stdout == ""
