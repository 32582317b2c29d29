"""The rooms of the package: imports go one way, and each foreign library stays where it belongs."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import lmdbstore

PACKAGE = Path(lmdbstore.__file__).parent

# From the ground up: a room imports only from rooms above it in this list.
ROOMS = [
    *("errors", "event", "locks", "gate", "leaving"),
    *("pattern_refused", "pattern_sets", "pattern_parse"),
    *("signature", "pattern_needs", "pattern"),
    *("findings", "query", "plan", "search", "api", "searching", "memory"),
    *("keys", "format", "postings", "runs", "sieve", "pager", "view"),
    *(
        "faults",
        "barrier",
        "presence",
        "holders",
        "metas",
        "creation",
        "opening",
        "databases",
        "transaction",
    ),
    *("signing", "changes", "purging", "writer"),
    *("environment", "registry", "snapshot", "statistics", "pages", "walking", "verifying"),
    *("options", "space", "streaming", "copying", "compacting", "upkeep", "store"),
    *("salvage", "states", "maintenance", "repairing"),
]

LIBRARIES = {
    "lmdb": {
        "faults",
        "creation",
        "databases",
        "transaction",
        "writer",
        "environment",
        "snapshot",
        "verifying",
        "pages",
    },
    "orjson": {"format"},
    "struct": {"keys", "format"},
    "re2": {"pattern"},
    "fcntl": {"barrier", "holders", "presence", "opening"},
    "mmap": {"barrier"},
}


def imports(room: str) -> tuple[set[str], set[str]]:
    """Return what a room imports when it runs: rooms of ours, and other modules."""
    tree = ast.parse((PACKAGE / f"{room}.py").read_text(encoding="utf-8"))
    ours: set[str] = set()
    others: set[str] = set()
    for node in running(tree):
        if isinstance(node, ast.ImportFrom) and node.level == 1:
            ours.update([node.module] if node.module else [alias.name for alias in node.names])
        elif isinstance(node, ast.ImportFrom):
            others.add((node.module or "").partition(".")[0])
        elif isinstance(node, ast.Import):
            others.update(alias.name.partition(".")[0] for alias in node.names)
    return ours, others


def running(node: ast.AST) -> list[ast.AST]:
    """Return the nodes below, without what stands under `if TYPE_CHECKING`."""
    found = []
    for child in ast.iter_child_nodes(node):
        typing_only = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test)
        if not typing_only:
            found += [child, *running(child)]
    return found


def test_every_room_is_on_the_list() -> None:
    """A new file has to say where it stands."""
    files = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__", "__main__"}
    assert files == set(ROOMS)


def test_imports_go_one_way() -> None:
    """A room imports only rooms that stand before it."""
    for number, room in enumerate(ROOMS):
        assert imports(room)[0] <= set(ROOMS[:number]), room


def test_foreign_libraries_stay_in_their_rooms() -> None:
    """Only the rooms that own a library import it."""
    for room in ROOMS:
        for library in imports(room)[1] & set(LIBRARIES):
            assert room in LIBRARIES[library], f"{room} imports {library}"


def test_importing_the_library_imports_neither_extras_nor_what_few_calls_need() -> None:
    """`click`, `rich` and `pytest` are not there for programs that import the store."""
    late = {"click", "rich", "pytest", "re2", "hashlib"}
    code = f"import sys, lmdbstore; print({late} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"


# -- the tests ------------------------------------------------------------------------------------

TESTS = Path(__file__).parent


def test_tests_import_nothing_from_other_tests() -> None:
    """What two files need is a tool in `tests.tools`, or a fixture in a `conftest`."""
    for file in TESTS.rglob("*.py"):
        for module in imported(file):
            assert not module.rpartition(".")[2].startswith("test_"), f"{file} imports {module}"


def test_tests_import_by_absolute_names() -> None:
    """There is one way to write an import."""
    for file in TESTS.rglob("*.py"):
        assert not [module for module in imported(file) if module.startswith(".")], file


def imported(file: Path) -> set[str]:
    """Return the modules that a file imports anywhere, and what may be modules of packages."""
    modules: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = "." * node.level + (node.module or "")
            modules.add(package)
            modules.update(f"{package}.{alias.name}" for alias in node.names)
    return modules
