"""The house rules: one direction of imports, few and small rooms, nothing heavy at import, one list of dependencies."""

import importlib
import os
import pkgutil
import re
import shutil
import subprocess
import sys
import tomllib
import types
from pathlib import Path

import pytest
import yaml

from calcium_decoding import splits
from calcium_decoding.models import hybrid, names
from decoding_book import parameters
from tests.conftest import ROOT

LIB = ROOT / "lib"
LIBRARY, BOOK = LIB / "calcium_decoding", LIB / "decoding_book"
PACKAGES = sorted({path.parent for path in [*LIBRARY.rglob("*.py"), *BOOK.rglob("*.py")]})
FACES = [".".join(path.relative_to(LIB).parts) for path in PACKAGES
         if "lazy_loader" in (path / "__init__.py").read_text()]


def lint_imports(folder):
    """import-linter with the contracts of pyproject.toml on the packages in a folder."""
    shutil.copy(ROOT / "pyproject.toml", folder)
    program = Path(sys.executable).with_name("lint-imports")
    return subprocess.run([program, "--no-cache"], cwd=folder, capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": str(folder / "lib")})


@pytest.mark.parametrize(("where", "line", "broken"), [
    ("utils/files.py", "from calcium_decoding.data import recording", "A room imports only from rooms below it"),
    ("plotting/style.py", "import calcium_decoding.experiments.engine", "A room imports only from rooms below it"),
    ("cli.py", "import decoding_book.build", "The library knows nothing of the book"),
    ("models/names.py", "from calcium_decoding.models import registry", "No modules import each other in a circle"),
])
def test_the_contracts_of_imports_hold_and_notice(tmp_path, where, line, broken):
    copy = shutil.copytree(LIB, tmp_path / "lib", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    kept = lint_imports(tmp_path)
    assert kept.returncode == 0, kept.stdout
    path = copy / "calcium_decoding" / where
    path.write_text(path.read_text() + f"\n{line}\n")
    found = lint_imports(tmp_path)
    assert found.returncode == 1 and f"{broken} BROKEN" in found.stdout, found.stdout


def test_a_room_without_a_place_in_the_contract_is_refused(tmp_path):
    copy = shutil.copytree(LIB, tmp_path / "lib", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    (copy / "calcium_decoding" / "misc").mkdir()
    (copy / "calcium_decoding" / "misc" / "__init__.py").write_text('"""A room that nobody drew."""\n')
    assert lint_imports(tmp_path).returncode == 1


def test_the_house_is_small():
    assert {path.stem for path in LIBRARY.glob("*.py")} <= {"__init__", "errors", "cli"}
    crowded = {str(package.relative_to(LIB)): len(list(package.glob("*.py"))) for package in PACKAGES}
    assert max(crowded.values()) <= 13, crowded
    lines = {str(path.relative_to(LIB)): len(path.read_text(encoding="utf-8").splitlines())
             for package in PACKAGES for path in package.glob("*.py")}
    assert max(lines.values()) <= 400, {path: n for path, n in lines.items() if n > 400}


@pytest.mark.parametrize("name", FACES)
def test_every_name_of_a_face_is_there_and_none_is_that_of_a_module(name):
    face = importlib.import_module(name)
    modules = {module.name for module in pkgutil.iter_modules(face.__path__)}
    for public in face.__all__:
        value = getattr(face, public)
        assert (public in modules) == isinstance(value, types.ModuleType)  # else it is one or the other by turns


def test_torch_is_imported_in_few_places():
    users = {path.relative_to(LIBRARY).parts[0] for path in LIBRARY.rglob("*.py")
             if re.search(r"^\s*(import|from) torch", path.read_text(), re.M)}
    assert users <= {"models", "experiments", "explain", "evaluation", "streaming"}
    assert not [path for path in BOOK.rglob("*.py") if re.search(r"^(import|from) torch", path.read_text(), re.M)]


@pytest.mark.parametrize(("name", "heavy"), [("calcium_decoding", {"numpy", "pandas"}),
                                             ("decoding_book.parameters", {"numpy", "pandas"}),
                                             ("decoding_book.execute", set()), ("decoding_book.build", set())])
def test_nothing_heavy_at_import(name, heavy):
    heavy = heavy | {"torch", "scipy", "matplotlib", "sklearn"}
    code = f"import sys, {name}; print(sorted({heavy!r} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_what_has_a_name_can_be_made_and_the_other_way_round():
    for row in names.DECODERS.values():
        module, _, kind = row.makes.rpartition(".")
        assert hasattr(importlib.import_module(f"calcium_decoding.models.{module}"), kind), row
    assert set(splits.REGIMES) == set(parameters.REGIMES) and set(hybrid.SIZES) == set(names.FOOTSTEP_SIZES)


def test_no_pickle():
    bad = re.compile(r"allow_pickle=True|pickle\.load|weights_only=False|torch\.load\((?!.*weights_only=True)")
    found = {p.relative_to(LIBRARY).as_posix(): bad.findall(p.read_text()) for p in LIBRARY.rglob("*.py")}
    # A user's class goes to another process of the same run so; nothing that is read from a file does.
    assert {name: hits for name, hits in found.items() if hits} == {"models/decoders.py": ["pickle.load"]}


def test_conda_environment_has_the_packages_of_pyproject():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {*project["dependencies"], *project["optional-dependencies"]["book"],
              *project["optional-dependencies"]["test"]}
    listed = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    renamed = {"torch": "pytorch"}  # the one package conda calls otherwise

    def conda(requirement):
        name, rest = re.match(r"([A-Za-z0-9_.-]+)(.*)", requirement).groups()
        return renamed.get(name, name) + rest

    plain = {entry for entry in listed if isinstance(entry, str)} - {"pip"}
    from_pip = {name for entry in listed if isinstance(entry, dict) for name in entry["pip"]}
    assert plain | from_pip == {conda(r) for r in wanted} | {f"python{project['requires-python']}"}


def test_constraints_agree_with_pyproject():
    pinned = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().split())
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert set(pinned) <= {re.match(r"[A-Za-z0-9_.-]+", d).group() for d in declared}


def test_no_dependency_is_a_package_of_another_meaning_or_too_large_or_patented():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    asked = {re.split(r"[^\w-]", one)[0].lower() for one in [*project["dependencies"], *extras.get("formats", ())]}
    assert not asked & {"caiman", "bonsai", "nvidia-dali", "harp-python", "codecheck", "suite2p", "cebra"}
