"""The engine's files that a module can reach, found without running anything.

A step is done again when code that it can reach has changed. What it can reach is read
from the import statements: those inside of functions count, because they run when the
function does; those below `if TYPE_CHECKING:` do not, because they never run. A text
that is the name of a module counts wherever it stands: `import_module` may get it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache, cached_property
from pathlib import Path

from mlops.errors import MlopsError
from mlops.io import digests, files

ENGINE = Path(__file__).parents[1]  # the folder of the package `mlops`

# What may be the name of a module in a string of a source.
_QUOTED = re.compile(r"""["'](mlops\.[\w.]+)["']""")

# Where a statement holds other statements. Expressions hold none, and are passed over:
# they are nine tenths of a syntax tree.
_BLOCKS: tuple[str, ...] = ("body", "orelse", "handlers", "finalbody", "cases")


@cache
def reached_files(module: str, engine: Path = ENGINE) -> frozenset[Path]:
    """Return the files of the engine that a module's imports lead to, and its own.

    Beside the Python files these are the files that lie next to them, such as
    templates. The root of the package is not among them unless a module asks it for
    something: it only holds the version.

    Parameters
    ----------
    module : str
        The dotted name of a module of the engine, such as ``mlops.pipeline.train``.
    engine : Path
        The folder of the package.
    """
    modules: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name not in modules:
            modules.add(name)
            waiting.extend(_imports(name, engine))
    found: set[Path] = set()
    for name in modules:
        path = _file_of(name, engine)
        if path is not None:
            found.add(path)
            if path.parent != engine:
                found.update(_beside(path.parent))
    return frozenset(found)


class ReachedDigests:
    """Digests of what modules of the engine reach.

    To read all import statements takes longer than all else that a run does in which
    nothing has changed. The digests are noted for as long as the engine stays the same.

    Parameters
    ----------
    engine : Path
        The folder of the package.
    path : Path
        The file of notes. Where it is not what was written it counts as none.
    """

    def __init__(self, engine: Path, path: Path) -> None:
        self.engine = engine
        self._path = path

    def of(self, module: str) -> str:
        """Return the digest of the files that a module reaches."""
        known = self._known
        if module not in known:
            reached = reached_files(module, self.engine)
            known[module] = digests.digest_of(reached, self.engine)
            notes = {"engine": self._all, "reached": known}
            files.write_json(self._path, notes)
        return known[module]

    @cached_property
    def _all(self) -> str:
        """The digest of all files of the engine."""
        every = [
            path
            for path in self.engine.rglob("*")
            if path.suffix != ".pyc" and path.is_file()
        ]
        return digests.digest_of(every, self.engine)

    @cached_property
    def _known(self) -> dict[str, str]:
        """What was noted of this engine, by module."""
        try:
            notes = files.read_json(self._path)
        except MlopsError:
            return {}
        match notes:
            case {"engine": self._all, "reached": dict(reached)}:
                return {str(name): str(digest) for name, digest in reached.items()}
        return {}


@cache
def _imports(module: str, engine: Path) -> tuple[str, ...]:
    """Return the modules of the engine that a module imports, and its own packages."""
    path = _file_of(module, engine)
    if path is None:
        return ()
    reached = list(_packages(module))
    is_package = path.name == "__init__.py"
    package = module if is_package else module.rpartition(".")[0]
    source = path.read_text(encoding="utf-8")
    groups = [[name] for name in _QUOTED.findall(source)]
    for statement in _statements_that_run(ast.parse(source, filename=str(path))):
        groups.append(list(_named(statement, package)))
    for names in groups:
        modules = [name for name in names if _file_of(name, engine) is not None]
        if modules[:1] == [engine.name] and len(modules) == len(names):
            modules = modules[
                1:
            ]  # `from mlops import module` asks the root for nothing
        for name in modules:
            reached.append(name)
            reached.extend(_packages(name))
    return tuple(dict.fromkeys(reached))


def _packages(module: str) -> Iterator[str]:
    """Yield the packages around a module, but for the root."""
    parts = module.split(".")
    for length in range(2, len(parts)):
        yield ".".join(parts[:length])


def _statements_that_run(tree: ast.Module) -> Iterator[ast.AST]:
    """Yield every statement of a module that is not for type checkers alone."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        blocks = _BLOCKS
        if isinstance(node, ast.If) and _is_type_checking(node.test):
            blocks = ("orelse",)
        for block in blocks:
            waiting.extend(getattr(node, block, ()))


def _is_type_checking(test: ast.expr) -> bool:
    if isinstance(test, ast.Attribute):
        return test.attr == "TYPE_CHECKING"
    return isinstance(test, ast.Name) and test.id == "TYPE_CHECKING"


def _named(node: ast.AST, package: str) -> Iterator[str]:
    """Yield the names that a statement imports, which may be modules."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield alias.name
    elif isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            around = package.split(".")
            parents = around[: len(around) - node.level + 1]
            base = ".".join([*parents, base] if base else parents)
        yield base
        for alias in node.names:
            yield f"{base}.{alias.name}"


@cache
def _file_of(module: str, engine: Path) -> Path | None:
    """Return the file of a module of the engine, None where it is none."""
    root, *parts = module.split(".")
    if root != engine.name or not all(part.isidentifier() for part in parts):
        return None
    path = engine.joinpath(*parts)
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file() and candidate != engine.with_suffix(".py"):
            return candidate
    return None


def _beside(folder: Path) -> Iterator[Path]:
    """Yield the files of a package that are not Python, and of folders in it."""
    for path in folder.iterdir():
        if path.is_dir():
            is_package = (path / "__init__.py").is_file()
            if not is_package and path.name != "__pycache__":
                yield from _beside(path)
        elif path.suffix not in {".py", ".pyc"}:
            yield path
