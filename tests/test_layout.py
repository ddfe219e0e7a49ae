"""The tree keeps its shape: import order, mirror of the tests, what is public, no assert and no print."""

import ast
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "hardmine"
MODULES = sorted(SOURCE.rglob("*.py"))
ORDER = (
    "errors", "launch", "files", "tables", "core", "assign", "sampling", "losses", "testing", "equation", "recipes",
    "detectors", "data", "augmentation", "predictions", "evaluation", "training", "experts", "mining", "diagnosis",
    "comparison", "figures", "claims", "report", "cli",
)  # fmt: skip
RECIPES = [path for path in (SOURCE / "recipes").glob("*.py") if path.name != "__init__.py"]
TABLES = {  # modules whose tests are a table's, each line of it one of them
    **{f"recipes/{path.name}": "recipes/test_recipes.py" for path in RECIPES},
    "cli/tables.py": "cli/test_app.py",
    "cli/comparison_tables.py": "cli/test_compare.py",
    "cli/diagnosis_tables.py": "cli/test_diagnose.py",
    "cli/mask_tables.py": "cli/test_mine.py",
    "cli/options.py": "cli/test_app.py",
    "mining/binary.py": "mining/test_working_set.py",
    "testing/samplings.py": "contract/test_samplings.py",
    "testing/assigners.py": "contract/test_assigners.py",
    "testing/losses.py": "contract/test_losses.py",
    "testing/situations.py": "contract/test_broken_methods.py",
    "testing/contract.py": "contract/test_broken_methods.py",
}


def names(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(SOURCE)) for path in paths]


def imports(path: Path) -> list[tuple[str, list[str]]]:
    """(module of ours, names taken from it), wherever in the file."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "hardmine":
            found.append((node.module, [alias.name for alias in node.names]))
        elif isinstance(node, ast.Import):
            found += [(alias.name, []) for alias in node.names if alias.name.split(".")[0] == "hardmine"]
    return found


def part_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


INNER = [path for path in MODULES if path.parent != SOURCE or part_of(path) in ORDER]


@pytest.mark.parametrize("path", INNER, ids=names(INNER))
def test_a_module_imports_only_from_what_stands_above_it(path):
    place = ORDER.index(part_of(path))
    for module, taken in imports(path):
        parts = [module.split(".")[1]] if "." in module else [name for name in taken if name in ORDER]
        assert parts or part_of(path) == "cli", f"imports {taken} from the package itself"
        assert all(ORDER.index(part) <= place for part in parts), f"imports {module}, which stands below it"


def test_every_part_has_its_place():
    parts = {part_of(path) for path in MODULES if path.name not in ("__main__.py",)} - {"__init__"}
    assert parts == set(ORDER)


@pytest.mark.parametrize("path", INNER, ids=names(INNER))
def test_other_parts_take_only_what_is_public(path):
    for module, taken in imports(path):
        if "." in module and module.split(".")[1] != part_of(path):
            public = importlib.import_module(module).__all__
            assert set(taken) <= set(public), f"takes {set(taken) - set(public)} from {module}"


@pytest.mark.parametrize("path", MODULES, ids=names(MODULES))
def test_all_lists_what_is_there(path):
    if path.name == "__main__.py":
        return
    dotted = ".".join(["hardmine", *path.relative_to(SOURCE).with_suffix("").parts]).removesuffix(".__init__")
    module = importlib.import_module(dotted)
    assert len(set(module.__all__)) == len(module.__all__)
    assert all(hasattr(module, name) for name in module.__all__)
    assert not any(name.startswith("_") for name in module.__all__)


def is_package_with_content(path: Path) -> bool:
    return path.name == "__init__.py" and path.parent != SOURCE


PACKAGES = [path for path in MODULES if is_package_with_content(path)]


@pytest.mark.parametrize("path", PACKAGES, ids=names(PACKAGES))
def test_a_package_shows_only_what_it_lists(path):
    shown = {name for _, taken in imports(path) for name in taken}
    dotted = ".".join(["hardmine", *path.relative_to(SOURCE).parent.parts])
    public = set(importlib.import_module(dotted).__all__)
    assert shown <= public


@pytest.mark.parametrize("path", MODULES, ids=names(MODULES))
def test_there_is_no_assert_and_no_print(path):
    for node in ast.walk(ast.parse(path.read_text())):
        assert not isinstance(node, ast.Assert), f"assert in line {node.lineno}"
        is_print = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
        assert not is_print, f"print in line {node.lineno}"


@pytest.mark.parametrize("path", INNER, ids=names(INNER))
def test_tests_mirror_the_source(path):
    if path.name == "__init__.py":
        return
    relative = path.relative_to(SOURCE)
    own = relative.with_name(f"test_{relative.name}")
    assert (ROOT / "tests" / TABLES.get(str(relative), str(own))).is_file()


def test_the_table_of_exceptions_has_no_dead_line():
    assert all((SOURCE / module).is_file() for module in TABLES)
    assert not any(
        (ROOT / "tests" / Path(module).with_name(f"test_{Path(module).name}")).is_file() for module in TABLES
    )


def test_no_module_is_a_drawer_for_odds_and_ends():
    assert not {"utils.py", "common.py", "helpers.py", "misc.py"} & {path.name for path in MODULES}
