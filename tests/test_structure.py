"""The house rules: one direction of imports, nothing heavy at import, one list of dependencies."""

import ast
import re
import subprocess
import sys
import tomllib

import pytest
import yaml

from calcium_decoding import models, names, splits
from calcium_decoding.footsteps import networks
from tests.conftest import ROOT

LIBRARY = ROOT / "lib" / "calcium_decoding"
# The order in which data flow; a module imports only what stands above it. The README shows the same list.
ORDER = (
    "errors names files progress tiff_pages stacks movies exposure mappable published claims recording manifest_schema "
    "intact manifest fetch readers transforms preprocess targets brain_masks registration image_controls simulate "
    "windows images splits audit models epochs training image_training metrics events nulls statistics confidence "
    "conformal shared_frames folds executors stored_jobs experiments per_fold image_experiments image_views "
    "linear_null results image_scores conditions variants image_variants timing lags regions masking deep_shap "
    "attribution leakage comparison nested region_effects shap_maps shap_tables attribution_runs attribution_worlds "
    "attribution_tests cut_masks cut_out null_level chance alt_text figures split_figures null_figures "
    "condition_figures lag_figures region_figures tables speeds speed_figures tour simulated_truth "
    "brain_figures shap_figures attribution_figures plotting_script browse image_figures cut_out_tables "
    "cut_out_truth cut_out_figures footsteps footstep_figures parameters image_plans notebook measured "
    "glossary pages built_pages chapters references forked_kernel build print_book collected parameter_page "
    "verdicts ledger cli"
).split()


def modules():
    return {p.stem if p.is_file() else p.name: p for p in LIBRARY.iterdir()
            if p.suffix == ".py" or (p / "__init__.py").exists()}


def imports_of(path):
    """Names of this library's modules that a module or package imports, at any depth."""
    found = set()
    for source in [path] if path.is_file() else path.rglob("*.py"):
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("calcium_decoding"):
                parts = node.module.split(".")
                found |= {parts[1]} if len(parts) > 1 else {a.name for a in node.names}
            elif isinstance(node, ast.Import):
                found |= {a.name.split(".")[1] for a in node.names if a.name.startswith("calcium_decoding.")}
    return found & set(ORDER)


def test_the_order_names_every_module():
    assert set(modules()) - {"__init__"} == set(ORDER)


def test_imports_point_one_way():
    place = {name: i for i, name in enumerate(ORDER)}
    wrong = [f"{name} imports {other}" for name, path in modules().items() if name in place
             for other in imports_of(path) if other != name and place[other] >= place[name]]
    assert not wrong


def test_torch_is_imported_in_few_places():
    users = {name for name, path in modules().items() if path.is_file()
             and re.search(r"^\s*(import|from) torch", path.read_text(), re.M)}
    assert users <= {"epochs", "image_experiments", "image_training", "models", "training", "results"}


@pytest.mark.parametrize(("name", "heavy"), [("calcium_decoding", {"numpy", "pandas"}),
                                             ("calcium_decoding.parameters", {"numpy", "pandas"}),
                                             ("calcium_decoding.chapters", set()), ("calcium_decoding.build", set())])
def test_nothing_heavy_at_import(name, heavy):
    heavy = heavy | {"torch", "scipy", "matplotlib", "sklearn"}
    code = f"import sys, {name}; print(sorted({heavy!r} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_what_has_a_name_can_be_made_and_the_other_way_round():
    assert set(models._RUN) == set(names.MODELS) and set(models._SPEED) == set(names.SPEED_MODELS)
    assert set(splits.REGIMES) == set(names.REGIMES) and set(networks.SIZES) == set(names.FOOTSTEP_SIZES)


def test_no_pickle():
    bad = re.compile(r"allow_pickle=True|pickle\.load|weights_only=False|torch\.load\((?!.*weights_only=True)")
    assert not [p for p in LIBRARY.rglob("*.py") if bad.search(p.read_text())]


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


def test_readme_lists_the_modules_in_order():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    listed = [name for name in re.findall(r"^\| `([a-z_]+)` \|", readme, re.M) if name in ORDER]
    assert listed == ORDER
