"""What is promised of the package as a whole: its pins, its metadata and its floors."""

import ast
import subprocess
import tomllib
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import pskd

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "pskd"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

FLOORS = (
    "cli", "stream", "edge", "train", "models", "distill", "datasets", "data", "signal",
    "evaluate", "recipe", "files", "errors",
)  # fmt: skip
"""From the top: a module imports from its own floor and from those below it."""

DESCRIPTIONS = {"pskd.data.recording", "pskd.data.skeleton"}
"""Plain descriptions of data without any reading of files: the signal floor may use them too."""


def pins() -> dict[str, Version]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pairs = [line.split("==") for line in lines if not line.startswith("#")]
    return {canonicalize_name(name): Version(version) for name, version in pairs}


def requirements(*extras: str) -> list[Requirement]:
    optional = PROJECT["optional-dependencies"]
    texts = PROJECT["dependencies"] + [text for extra in extras for text in optional[extra]]
    return [Requirement(text) for text in texts]


def test_torch_is_pinned_first():
    assert next(iter(pins())) == "torch"


def test_pins_are_exact_and_of_no_local_build():
    assert all(version.local is None for version in pins().values())


@pytest.mark.parametrize("requirement", requirements("test", "dev"), ids=str)
def test_what_is_required_is_pinned_to_a_version_that_it_allows(requirement: Requirement):
    assert pins()[canonicalize_name(requirement.name)] in requirement.specifier


@pytest.mark.parametrize("version", ["2.6.2", "2.6.3"])
def test_malicious_releases_are_never_installed(version: str):
    (fabric,) = (r for r in requirements() if r.name == "lightning-fabric")
    assert version not in fabric.specifier
    assert "2.6.1" in fabric.specifier
    assert pins()["lightning-fabric"] != Version(version)


def test_python_versions():
    assert PROJECT["requires-python"] == ">=3.11,<3.14"


def test_citation_names_the_paper_the_version_and_the_independence():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == pskd.__version__
    assert citation["license"] == PROJECT["license"] == "Apache-2.0"
    assert "independent implementation" in citation["message"]
    assert "2208.08090" in citation["references"][0]["url"]


def test_licence_and_types_are_there():
    assert "Apache License" in (ROOT / "LICENSE").read_text()
    assert (SOURCE / "py.typed").exists()


def test_make_help_lists_every_target():
    listing = subprocess.run(
        ["make", "--no-print-directory", "help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    makefile = (ROOT / "Makefile").read_text()
    (phony,) = (line for line in makefile.splitlines() if line.startswith(".PHONY:"))
    listed = {line.split()[1] for line in listing.splitlines()}
    assert listed == set(phony.removeprefix(".PHONY:").split())
    assert all(len(line.split()) > 3 for line in listing.splitlines())


# --- floors -------------------------------------------------------------------------------------


def modules() -> dict[str, Path]:
    """Modules of the package by their dotted names."""
    named = {}
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE.parent).with_suffix("").parts
        named[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return named


MODULES = modules()


def imported(module: str, source: str | None = None) -> set[str]:
    """Modules of the package that a module imports, wherever in its code."""
    found = set()
    for node in ast.walk(ast.parse(source or MODULES[module].read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module} imports relatively: name the module in full"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                found.add(full if full in MODULES else str(node.module))
    return {name for name in found if name.split(".")[0] == "pskd"}


def floor(module: str) -> int:
    name = module.split(".")[1]
    assert name in FLOORS, f"{module} has no floor: add {name!r} to FLOORS where it belongs"
    return FLOORS.index(name)


def above(module: str, targets: set[str]) -> set[str]:
    """Those of the imports of a module that break the order of the floors."""
    allowed = DESCRIPTIONS if module.startswith("pskd.signal.") else set()
    return {name for name in targets - allowed - {"pskd"} if floor(name) < floor(module)}


@pytest.mark.parametrize("module", sorted(set(MODULES) - {"pskd"}))
def test_imports_point_downward(module: str):
    assert above(module, imported(module)) == set()


def test_imports_make_no_circle():
    TopologicalSorter({module: imported(module) - {module} for module in MODULES}).prepare()


def test_the_package_itself_imports_nothing_of_itself():
    assert imported("pskd") == set()


def test_the_check_of_the_floors_can_fail():
    source = "def f():\n    from pskd.train import run\n    import pskd.errors\n"
    assert above("pskd.models.base", imported("", source)) == {"pskd.train.run"}
    assert above("pskd.signal.align", {"pskd.data.skeleton", "pskd.data.store"}) == {
        "pskd.data.store"
    }
    assert above("pskd.evaluate.report", {"pskd.data.skeleton"}) == {"pskd.data.skeleton"}
