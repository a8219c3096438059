"""The Python of a model: its files, which of them travel, and how they are loaded.

A model may have modules beside features.py and estimator.py, and may keep objects of
its own classes and functions. Its modules live in a namespace of their own, one for
each content, so that two versions of a model can be loaded in one process and neither
depends on the folder in which the process was started.
"""

from __future__ import annotations

import ast
import importlib
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import Any

from mlops.config.project import python_files
from mlops.errors import Refused, UsageError
from mlops.io.digests import canonical_json, sha256
from mlops.io.files import reaching
from mlops.io.user_code import blaming, note_run, parse_python

FEATURES = "features"
ESTIMATOR = "estimator"

# features.py is run by whoever serves the model: pure functions of columns.
FEATURE_IMPORTS = frozenset(
    {"__future__", "datetime", "math", "numpy", "pandas", "re", "typing", "unicodedata"}
)

# A module whose classes or functions a model file holds travels too. It may also use
# what a model file may hold, and modules of the standard library that reach neither the
# disk nor the network nor other processes.
MODULE_IMPORTS = FEATURE_IMPORTS | {
    "abc",
    "bisect",
    "calendar",
    "catboost",
    "collections",
    "copy",
    "dataclasses",
    "decimal",
    "enum",
    "fractions",
    "functools",
    "hashlib",
    "heapq",
    "itertools",
    "json",
    "lightgbm",
    "numbers",
    "operator",
    "random",
    "scipy",
    "sklearn",
    "statistics",
    "string",
    "textwrap",
    "types",
    "warnings",
    "xgboost",
    "zoneinfo",
}

_PACKAGE = "mlops_model_"


@dataclass(frozen=True)
class ModelCode:
    """The modules of one model, in a namespace of their own.

    Parameters
    ----------
    model : str
        The model's name.
    sources : mapping of str to bytes
        Path relative to the model's folder (``features.py``, ``sub/helper.py``), and
        content.
    """

    model: str
    sources: Mapping[str, bytes]

    @classmethod
    def read(cls, folder: Path, model: str) -> ModelCode:
        """Read every module of a model's folder.

        Raises
        ------
        UsageError
            When features.py or estimator.py is missing.
        EnvironmentFailure
            When a file cannot be read.
        """
        for name in (FEATURES, ESTIMATOR):
            path = folder / f"{name}.py"
            if not path.exists():
                message = "this file is missing"
                raise UsageError(message, file=str(path), do="a model needs it")
        sources = {}
        for path in python_files(folder):
            with reaching("read", path):
                sources[path.relative_to(folder).as_posix()] = path.read_bytes()
        return cls(model, sources)

    @classmethod
    def of(cls, model: str, features: bytes, modules: bytes = b"") -> ModelCode:
        """Return the code that travels with a version.

        Parameters
        ----------
        features : bytes
            The content of features.py.
        modules : bytes
            The content of modules.json; empty where the version has none.

        Raises
        ------
        Refused
            When modules.json is not what `travelling` writes.
        """
        sources = {f"{FEATURES}.py": features}
        if modules:
            sources |= _unpacked(modules)
        return cls(model, sources)

    @cached_property
    def package(self) -> str:
        """The name of the namespace in `sys.modules`."""
        digests = sorted((path, sha256(text)) for path, text in self.sources.items())
        return f"{_PACKAGE}{self.model}_{sha256(canonical_json(digests))[:16]}"

    @cached_property
    def modules(self) -> dict[str, str]:
        """Dotted name of each module: its path in the model's folder."""
        return {_dotted(path): path for path in self.sources}

    def shown(self, module: str) -> str:
        """Return the path of a module that errors name."""
        return f"models/{self.model}/{self.modules[module]}"

    def tree(self, module: str) -> ast.Module:
        """Return a module as a syntax tree; UsageError for a syntax error."""
        return parse_python(self.sources[self.modules[module]], self.shown(module))

    def defines(self, module: str, name: str) -> bool:
        """Return whether a module defines a class or function of that name."""
        kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        return module in self.modules and any(
            isinstance(node, kinds) and node.name == name
            for node in self.tree(module).body
        )

    def load(self, module: str) -> ModuleType:
        """Run a module and those of the model that it imports, once for each content.

        Raises
        ------
        UsageError
            For a syntax error (with its line), or an error while a file runs.
        """
        if self.package not in _NAMESPACES:
            _NAMESPACES[self.package] = self
        if _FINDER not in sys.meta_path:
            sys.meta_path.append(_FINDER)
        note_run(self.shown(module))
        with blaming(self.shown(module)):
            return importlib.import_module(f"{self.package}.{module}")

    def forget(self) -> None:
        """Let the next `load` run every module again, as a new training should."""
        for name in list(sys.modules):
            if name == self.package or name.startswith(f"{self.package}."):
                del sys.modules[name]

    def function(self, module: str, name: str) -> Any:
        """Return a function that a module must define, UsageError where it does not."""
        function = getattr(self.load(module), name, None)
        if not callable(function):
            message = f"this file must define `def {name}(...)`"
            raise UsageError(message, file=self.shown(module), do=f"write `{name}`")
        return function

    # -- what travels -----------------------------------------------------------------

    def check_features(self) -> None:
        """Refuse imports in features.py that a function of columns does not need."""
        self._check_imports(FEATURES, FEATURE_IMPORTS)
        for module in sorted(self._reached([FEATURES]) - {FEATURES}):
            self._check_imports(module, MODULE_IMPORTS)

    def travelling(self, used: Iterable[str]) -> bytes:
        """Return the modules that whoever loads the model needs beside features.py.

        Parameters
        ----------
        used : iterable of str
            Modules whose classes and functions the model file holds.

        Returns
        -------
        bytes
            The content of modules.json, equal for equal modules; empty where none is
            needed.

        Raises
        ------
        UsageError
            For an import that is not allowed in a module that travels.
        """
        reached = self._reached([FEATURES, *used]) - {FEATURES}
        for module in sorted(reached):
            self._check_imports(module, MODULE_IMPORTS)
        if not reached:
            return b""
        texts = {}
        for module in reached:
            path = self.modules[module]
            try:
                texts[path] = self.sources[path].decode("utf-8")
            except UnicodeDecodeError as error:
                message = f"not UTF-8: {error}"
                raise UsageError(message, file=self.shown(module)) from error
        return canonical_json(texts) + b"\n"

    def imports(self) -> Iterator[tuple[str, int, str]]:
        """Yield path, line and top-level package of every import of another package.

        Only of modules that features.py and estimator.py reach.
        """
        for module in sorted(self._reached([FEATURES, ESTIMATOR])):
            for node, names in _imports(self.tree(module)):
                if self._own(module, node):
                    continue
                for name in names:
                    if not name.startswith("."):
                        yield self.shown(module), node.lineno, name.split(".")[0]

    def _reached(self, start: Sequence[str]) -> set[str]:
        """Return these modules of the model and all that they import of it."""
        reached: set[str] = set()
        ahead = list(start)
        while ahead:
            module = ahead.pop()
            if module in reached or module not in self.modules:
                continue
            reached.add(module)
            for node in ast.walk(self.tree(module)):
                ahead += self._own(module, node)
        return reached

    def _check_imports(self, module: str, allowed: frozenset[str]) -> None:
        for node, names in _imports(self.tree(module)):
            if self._own(module, node):
                continue
            for name in names:
                if name.split(".")[0] not in allowed:
                    raise UsageError(
                        "this import is not allowed here: the file travels with the "
                        "model",
                        file=self.shown(module),
                        key=f"line {node.lineno}",
                        found=name,
                        allowed=", ".join(sorted(allowed)),
                        do="move what the fitted model needs into a module of its own, "
                        "beside estimator.py, that imports only these",
                    )

    # -- imports among the model's own modules ----------------------------------------

    def _own(self, module: str, node: ast.AST) -> list[str]:
        """Return the modules of the model that an import statement reaches."""
        names = []
        if isinstance(node, ast.Import):
            for alias in node.names:
                names.append(self._own_name(alias.name))
        elif isinstance(node, ast.ImportFrom):
            base = self._base(module, node)
            if base is not None:
                names.append(base)
                for alias in node.names:
                    names.append(f"{base}.{alias.name}" if base else alias.name)
        modules = [name for name in names if name in self.modules]
        packages = [f"{name}.__init__" for name in names if name]
        return modules + [name for name in packages if name in self.modules]

    def _own_name(self, name: str) -> str | None:
        """Return which module of the model an absolute name is, None where it is none.

        The standard library and the libraries that models use keep their names.
        """
        prefix = f"models.{self.model}."
        if name.startswith(prefix):
            return name.removeprefix(prefix)
        first = name.split(".")[0]
        if first in sys.stdlib_module_names or first in MODULE_IMPORTS:
            return None
        known = {module.split(".")[0] for module in self.modules}
        return name if first in known else None

    def _base(self, module: str, node: ast.ImportFrom) -> str | None:
        """Return from which own module a statement imports ("": the folder)."""
        if node.level:
            parent = module.split(".")[: -node.level]
            return ".".join([*parent, *(node.module or "").split(".")]).strip(".")
        name = node.module or ""
        if name == f"models.{self.model}":
            return ""
        return self._own_name(name)

    def compiled(self, module: str) -> Any:
        """Return the code of a module, its own imports led into the namespace."""
        tree = _Relocated(self, module).visit(self.tree(module))
        return compile(ast.fix_missing_locations(tree), self.shown(module), "exec")


class _Relocated(ast.NodeTransformer):
    """Let imports among the model's modules lead into its namespace."""

    def __init__(self, code: ModelCode, module: str) -> None:
        self.code = code
        self.module = module

    def visit_Import(self, node: ast.Import) -> ast.AST | list[ast.stmt]:
        """``import helper`` becomes ``from NAMESPACE import helper``."""
        out: list[ast.stmt] = []
        for alias in node.names:
            own = self.code._own_name(alias.name)
            if own is None:
                out.append(ast.copy_location(ast.Import([alias]), node))
                continue
            parent, _, last = own.rpartition(".")
            if "." in alias.name and not alias.asname:
                raise UsageError(
                    "a module of the model is imported under its long name",
                    file=self.code.shown(self.module),
                    key=f"line {node.lineno}",
                    found=f"import {alias.name}",
                    do=f"write `import {alias.name} as {last}`",
                )
            target = ".".join(part for part in (self.code.package, parent) if part)
            name = ast.alias(last, alias.asname)
            new = ast.ImportFrom(module=target, names=[name], level=0)
            out.append(ast.copy_location(new, node))
        return out

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST:
        """``from helper import f`` becomes ``from NAMESPACE.helper import f``."""
        base = self.code._base(self.module, node)
        if base is None:
            return node
        target = ".".join(part for part in (self.code.package, base) if part)
        new = ast.ImportFrom(module=target, names=node.names, level=0)
        return ast.copy_location(new, node)


class _Finder(MetaPathFinder, Loader):
    """Finds the modules of every namespace that was loaded in this process."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        """Return the spec of a module of a model, None for any other."""
        package, _, module = fullname.partition(".")
        code = _NAMESPACES.get(package)
        if code is None:
            return None
        if module in code.modules and not code.modules[module].endswith("__init__.py"):
            return spec_from_loader(fullname, self, origin=code.shown(module))
        inside = [m for m in code.modules if m.startswith(f"{module}.")]
        if module and not inside:
            return None
        return spec_from_loader(fullname, self, is_package=True)

    def create_module(self, spec: ModuleSpec) -> None:
        """Let Python make the module."""

    def exec_module(self, module: ModuleType) -> None:
        """Run the source; a folder without ``__init__.py`` is an empty package."""
        package, _, name = module.__name__.partition(".")
        code = _NAMESPACES[package]
        if name not in code.modules:
            name = f"{name}.__init__"
        if name not in code.modules:
            return
        module.__file__ = code.shown(name)
        _pickled_by_value(module)
        exec(code.compiled(name), module.__dict__)


_FINDER = _Finder()

_NAMESPACES: dict[str, ModelCode] = {}


def _pickled_by_value(module: ModuleType) -> None:
    """Let joblib's worker processes have the module, which they cannot import."""
    import cloudpickle  # type: ignore[import-untyped]  # joblib's own

    cloudpickle.register_pickle_by_value(module)


def _imports(tree: ast.Module) -> Iterator[tuple[ast.stmt, list[str]]]:
    """Yield every import statement, wherever it stands, and what it imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield node, [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            yield node, ["." * node.level + (node.module or "")]


def _dotted(path: str) -> str:
    """Return the dotted name of a path: ``sub/helper.py`` is ``sub.helper``."""
    return path.removesuffix(".py").replace("/", ".")


def _unpacked(content: bytes) -> dict[str, bytes]:
    """Return the modules of modules.json: path to content."""
    try:
        texts = json.loads(content)
        return {str(path): text.encode("utf-8") for path, text in texts.items()}
    except (ValueError, AttributeError, RecursionError) as error:
        message = f"modules.json is corrupt: {type(error).__name__}"
        raise Refused(message, do="train or fetch the version again") from error
