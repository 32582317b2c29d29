"""The floors of the package: imports go one way, and each library is imported in few places."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

import lmdbstore

PACKAGE = Path(lmdbstore.__file__).parent
TESTS = Path(__file__).parent

# From the bottom up: a folder imports only from folders above it in this list.
FLOORS = [
    "version",
    "errors",
    "threads",
    "patterns",
    "times",
    "contract",
    "disk",
    "records",
    "processes",
    "opening",
    "read",
    "write",
    "engine",
    "feed",
    "check",
    "care",
    "store",
    "rows",
    "inputs",
    "resume",
    "logs",
    "ingest",
    "watch",
    "transfer",
    "handler",
    "aio",
    "otel",
    "web",
    "testing",
    "sql",
    "address",
    "__init__",
    "cli",
    "__main__",
]

# Folders built on the contract: they work on any store, and import nothing of the LMDB store.
ON_THE_CONTRACT = [
    "rows",
    "inputs",
    "resume",
    "logs",
    "ingest",
    "watch",
    "transfer",
    "handler",
    "aio",
    "otel",
    "web",
    "testing",
]
OPEN_A_PATH = {"handler.target"}  # these alone open the LMDB store that a user names by its path
CONTRACT = {"version", "errors", "threads", "patterns", "times", "contract"}

MOST_FILES = 11  # in a folder, without its __init__
MOST_LINES = 400
DEEPEST = 14  # a chain of folders, each of which imports the next

LIBRARIES = {
    "lmdb": {
        "opening.page_errors",
        "check.walk",
        "disk.databases",
        "disk.lmdb_errors",
        "disk.map_size",
        "opening.create",
        "engine.environment",
        "engine.held_transaction",
        "engine.open_file",
        "opening.open_lmdb",
        "write.commit",
        "write.transaction",
        "write.writer",
    },
    "orjson": {
        "records.record",
        "records.decoding",
        "contract.asking.where",
        "handler.records",
        "logs.objects",
        "logs.structured",
        "rows",
        "sql.texts",
        "web.parameters",
        "web.texts",
        "cli.stats",
        "ingest.apart.messages",
    },
    "struct": {
        "disk.keys",
        "disk.meta_page",
        "records.decoding",
        "records.layout",
        "records.record",
        "records.run_value",
        "processes.ofd_locks",
        "processes.write_set",
    },
    "re2": {"patterns.pattern"},
    "backports": {"records.compression"},
    "compression": {"records.compression"},
    "fcntl": {
        "ingest.apart.parent",
        "processes.barrier",
        "processes.descriptors",
        "processes.ofd_locks",
        "processes.opening_lock",
        "processes.presence",
        "processes.snapshot_notes",
        "processes.waits",
    },
    "xxhash": {
        "patterns.made",
        "records.ids",
        "records.layout",
        "resume.tracked",
        "transfer.copying",
    },
    "inotify_simple": {"threads.notices"},
    "opentelemetry": {"otel"},
    "starlette": {"web.app"},
    "uvicorn": {"web.connections", "web.server"},
    "mmap": {"disk.map_size", "processes.barrier", "processes.barrier_file"},
}


@cache
def modules() -> dict[str, Path]:
    """Return every module by its name in the package; a package by the name of its folder."""
    return {
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path
        for path in sorted(PACKAGE.rglob("*.py"))
    }


def floor(module: str) -> str:
    return module.partition(".")[0]


@cache
def imports(module: str) -> tuple[frozenset[str], frozenset[str]]:
    """Return what a module imports, also for types: our modules, and other libraries."""
    ours: set[str] = set()
    others: set[str] = set()
    here = ["lmdbstore", *module.split(".")]
    for node in ast.walk(ast.parse(modules()[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            package = here[: -node.level] if node.level else []
            source = ".".join([*package, *([node.module] if node.module else [])])
            # Of `from package import name` the name may be a module.
            names = [f"{source}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            if name.partition(".")[0] == "lmdbstore":
                ours.add(known(name.partition(".")[2]))
            else:
                others.add(name.partition(".")[0])
    return frozenset(ours - {module}), frozenset(others)


def known(name: str) -> str:
    """Return the module of a dotted name in the package."""
    while name and name not in modules():
        if f"{name}.__init__" in modules():
            return f"{name}.__init__"
        name = name.rpartition(".")[0]
    return name or "__init__"


def test_every_folder_is_on_the_list() -> None:
    """A new folder needs a floor."""
    assert {floor(module) for module in modules()} == set(FLOORS)


def test_imports_go_one_way() -> None:
    """A folder imports only from folders before it in the list, so there is no import cycle."""
    for module in modules():
        below = FLOORS[: FLOORS.index(floor(module)) + 1]
        for other in imports(module)[0]:
            assert floor(other) in below, f"{module} imports {other}"


def test_no_module_imports_itself_through_others() -> None:
    """Imports for types count, too."""
    done: set[str] = set()

    def visit(module: str, path: list[str]) -> None:
        assert module not in path, " -> ".join([*path, module])
        if module not in done:
            for other in sorted(imports(module)[0]):
                visit(other, [*path, module])
            done.add(module)

    for module in modules():
        visit(module, [])


def test_folders_on_the_contract_import_nothing_of_the_lmdb_store() -> None:
    for module in modules():
        if floor(module) in ON_THE_CONTRACT:
            opens = {"store"} if module in OPEN_A_PATH else set()
            for other in imports(module)[0]:
                allowed = CONTRACT | {*ON_THE_CONTRACT} | opens
                assert floor(other) in allowed, f"{module} imports {other}"


def test_the_contract_imports_nothing_of_the_lmdb_store() -> None:
    """The folders below it import nothing of it, either."""
    for module in modules():
        if floor(module) in CONTRACT:
            assert {floor(other) for other in imports(module)[0]} <= CONTRACT, module


def test_chains_of_folder_imports_are_short() -> None:
    @cache
    def depth(folder: str) -> int:
        inside = [module for module in modules() if floor(module) == folder]
        others = {floor(other) for module in inside for other in imports(module)[0]} - {folder}
        return 1 + max(map(depth, others), default=0)

    assert max(depth(folder) for folder in FLOORS) <= DEEPEST


def test_no_folder_has_too_many_files() -> None:
    for module, path in modules().items():
        lines = len(path.read_text(encoding="utf-8").splitlines())
        assert lines <= MOST_LINES, f"{module} has {lines} lines"
    paths = [path for path in modules().values() if path.name != "__init__.py"]
    for folder, number in Counter(path.parent for path in paths).items():
        assert number <= MOST_FILES, folder


def test_each_library_is_imported_only_by_its_modules() -> None:
    """Only the modules that own a library import it, except for types."""
    for module in modules():
        for library in running_imports(module) & set(LIBRARIES):
            assert module in LIBRARIES[library], f"{module} imports {library}"


def running_imports(module: str) -> set[str]:
    """Return the libraries that a module imports when it runs."""

    def running(node: ast.AST) -> list[ast.AST]:
        found = []
        for child in ast.iter_child_nodes(node):
            typing_only = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test)
            if not typing_only:
                found += [child, *running(child)]
        return found

    names: set[str] = set()
    for node in running(ast.parse(modules()[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add((node.module or "").partition(".")[0])
    return names


BYTES_OWNERS = {"disk", "records"}
# Names of what is on disk: a key, an entry of an index, a record, a value of a database.
ON_DISK = {"key", "entry", "commit", "record", "value", "local_id", "where", "found", "low", "high"}


def test_only_the_disk_folder_takes_bytes_apart() -> None:
    """No other code slices a key, an entry or a record by a number, or adds two of them."""
    for module, path in modules().items():
        if floor(module) in BYTES_OWNERS or floor(module) not in FLOORS[5:15]:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Slice)):
                continue
            name = getattr(node.value, "id", getattr(node.value, "attr", ""))
            bounds = [bound for bound in (node.slice.lower, node.slice.upper) if bound]
            numbers = any(isinstance(bound, ast.Constant) for bound in bounds)
            assert not (name in ON_DISK and numbers), f"{module}:{node.lineno} slices {name}"


@pytest.mark.surroundings
def test_importing_the_library_imports_no_extras_or_rarely_used_modules() -> None:
    """`click`, `rich` and `pytest` are not there for programs that import the store."""
    late = {
        "click",
        "rich",
        "pytest",
        "re2",
        "starlette",
        "psycopg",
        "hashlib",
        "logging",
        "asyncio",
        "concurrent",
    }
    code = f"import sys, lmdbstore; print({late} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"


# -- the tests ------------------------------------------------------------------------------------


def test_tests_import_nothing_from_other_tests() -> None:
    """Code for two files is a tool in `tests.tools`, or a fixture in a `conftest`."""
    for file in TESTS.rglob("*.py"):
        for module in imported(file):
            assert not module.rpartition(".")[2].startswith("test_"), f"{file} imports {module}"


def test_tests_import_by_absolute_names() -> None:
    """There is one way to write an import."""
    for file in TESTS.rglob("*.py"):
        assert not [module for module in imported(file) if module.startswith(".")], file


@cache
def imported(file: Path) -> set[str]:
    """Return the modules that a file imports anywhere, with names that may be modules."""
    modules: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = "." * node.level + (node.module or "")
            modules.add(package)
            modules.update(f"{package}.{alias.name}" for alias in node.names)
    return modules


def _decorators(function: ast.FunctionDef) -> set[str]:
    calls = (one.func if isinstance(one, ast.Call) else one for one in function.decorator_list)
    return {one.id for one in calls if isinstance(one, ast.Name)}


def test_no_property_depends_on_the_speed_of_the_machine() -> None:
    """Hypothesis fails an example that takes 0.2 seconds, unless it is told not to."""
    for path in TESTS.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and "given" in _decorators(node):
                assert {"examples", "settings"} & _decorators(node), f"{path.name}: {node.name}"
