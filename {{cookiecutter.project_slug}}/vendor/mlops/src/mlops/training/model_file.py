"""The model file: a skops archive in one canonical form, and the only way to load one.

Two dumps of one fitted model by skops differ: ids and member names are memory
addresses, members carry the time. Here ids are numbered and members named in order of
appearance, times are fixed, JSON is sorted and nothing is compressed, so that equal
models are equal bytes. The model's own modules are named as in the repository,
``models.NAME.estimator``, whatever namespace they were loaded into.
"""

from __future__ import annotations

import io
import json
import sys
import zipfile
from collections.abc import Iterable, Iterator
from typing import Any

from mlops.errors import MlopsError, Refused, counted, listed
from mlops.training.allowed import not_allowed, own_prefix
from mlops.training.code import ModelCode

_SCHEMA = "schema.json"


def dump(estimator: Any, code: ModelCode | None = None) -> bytes:
    """Return a fitted scikit-learn estimator as a canonical skops archive.

    Parameters
    ----------
    estimator : object
        A fitted estimator made of types that skops can write.
    code : ModelCode, optional
        The model's modules, of whose classes and functions parts of it may be.

    Returns
    -------
    bytes
        The same for equal models, in every process and with every number of threads.
    """
    import skops.io

    _forget_chance(estimator)
    schema, members = _opened(skops.io.dumps(estimator))
    if code is not None:
        _rename(schema, f"{code.package}.", own_prefix(code))
    ids: dict[object, int] = {}
    names: dict[str, str] = {}
    for node in _nodes(schema):
        if node.get("__class__") == "_BinMapper":
            # The number of threads of the machine that trained; no part of the model.
            node["content"]["content"]["n_threads"]["content"] = "1"
        if "__id__" in node:
            # Whether two equal plain values are one object in memory is chance: go by
            # the value.
            plain = node["__loader__"] == "JsonNode"
            key = f"{node['__class__']} {node['content']}" if plain else node["__id__"]
            node["__id__"] = ids.setdefault(key, len(ids))
        if isinstance(node.get("file"), str):
            suffix = node["file"].rpartition(".")[2]
            node["file"] = names.setdefault(node["file"], f"{len(names):05d}.{suffix}")
    return _packed(schema, {new: members[old] for old, new in names.items()})


# What CatBoost writes into every model and is no part of it.
_CHANCE = ("model_guid", "train_finish_time")


def _forget_chance(estimator: Any) -> None:
    """Clear what two fits of one CatBoost model never have in common."""
    catboost = sys.modules.get("catboost")
    if catboost is None:
        return
    for part in _parts(estimator, set()):
        if isinstance(part, catboost.CatBoost) and part.is_fitted():
            metadata = part.get_metadata()
            for key in set(_CHANCE).intersection(metadata.keys()):
                metadata[key] = ""


def _parts(value: Any, seen: set[int]) -> Iterator[Any]:
    """Yield every object that an estimator holds, and the estimator, each once."""
    if id(value) in seen or isinstance(value, str | bytes | int | float):
        return
    seen.add(id(value))
    yield value
    inner: Iterable[Any] = ()
    if isinstance(value, dict):
        inner = value.values()
    elif isinstance(value, list | tuple):
        inner = value
    elif hasattr(value, "__dict__"):
        inner = vars(value).values()
    for item in inner:
        yield from _parts(item, seen)


def load(
    content: bytes, extra_trusted: Iterable[str] = (), code: ModelCode | None = None
) -> Any:
    """Return the estimator in a canonical archive.

    Parameters
    ----------
    content : bytes
        Bytes whose digest the caller has verified.
    extra_trusted : iterable of str
        Types of `trusted_types` in project.yaml.
    code : ModelCode, optional
        The modules that travel with the model, their digest verified. Classes and
        functions that they define are allowed, for this model only.

    Raises
    ------
    Refused
        When the archive is not canonical (compressed members, names that escape), is
        damaged, or holds a type that is not allowed. Nothing is unpickled.
    UsageError
        When a module of the model fails.
    """
    import skops.io

    try:
        _require_canonical(content)
        allowed = allowed_types(content, extra_trusted, code)
        if code is not None and any(t.startswith(own_prefix(code)) for t in allowed):
            schema, members = _opened(content)
            for module in _rename(schema, own_prefix(code), f"{code.package}."):
                code.load(module)
            content = _packed(schema, members)
            allowed = [
                _renamed(t, own_prefix(code), f"{code.package}.") for t in allowed
            ]
        return skops.io.loads(content, trusted=allowed)
    except (MlopsError, MemoryError):
        raise
    except Exception as error:
        # There is no list of what a damaged or hostile archive can raise.
        raise _refused(f"{type(error).__name__}: {error}") from error


def allowed_types(
    content: bytes, extra_trusted: Iterable[str] = (), code: ModelCode | None = None
) -> list[str]:
    """Return the types in a model file that skops does not know to be safe.

    All of them are allowed.

    Raises
    ------
    Refused
        When one is not; training asks too, so that nobody trains what cannot be loaded.
    """
    import skops.io

    unknown: list[str] = skops.io.get_untrusted_types(data=content)
    foreign = not_allowed(unknown, extra_trusted, code)
    if not foreign:
        return unknown
    if code is not None and foreign[0].startswith(own_prefix(code)):
        raise Refused(
            "the fitted model holds something of the model's own code that a file "
            "cannot name",
            found=listed(foreign),
            allowed="classes and functions at the top level of a module of the model",
            do="write it with `class` or `def` at the top level, not as a lambda or "
            "inside a function",
        )
    raise Refused(
        "the model file holds types that are not allowed",
        found=listed(foreign),
        allowed="scikit-learn's and numpy's own, those of the model's own modules, and "
        "`trusted_types` in project.yaml",
        do="if you know the type and trust its code, add it to `trusted_types`",
    )


def _require_canonical(content: bytes) -> None:
    """Raise Refused where an archive could not have been written by `dump`."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = archive.infolist()
    for member in members:
        if member.compress_type != zipfile.ZIP_STORED or "/" in member.filename:
            raise _refused(f"member {member.filename!r} is compressed or not in place")
    if sum(member.file_size for member in members) > len(content):
        raise _refused("its members are larger than the file, so they overlap")


def _opened(content: bytes) -> tuple[Any, dict[str, bytes]]:
    """Return the schema of an archive, and its other members by name."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    return json.loads(members.pop(_SCHEMA)), members


def _packed(schema: Any, members: dict[str, bytes]) -> bytes:
    """Return the one archive that stands for a schema and its members."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        text = json.dumps(schema, sort_keys=True, separators=(",", ":"))
        # Every new ZipInfo is of 1980.
        archive.writestr(zipfile.ZipInfo(_SCHEMA), text)
        for name in sorted(members):
            archive.writestr(zipfile.ZipInfo(name), members[name])
    return out.getvalue()


def _renamed(name: str, old: str, new: str) -> str:
    """Return a dotted name with another beginning, where it has this one."""
    return new + name.removeprefix(old) if name.startswith(old) else name


def _rename(schema: Any, old: str, new: str) -> set[str]:
    """Give modules in a schema another beginning; return what stands behind it."""
    modules = set()
    for node in _nodes(schema):
        module = node.get("__module__")
        if isinstance(module, str) and module.startswith(old):
            node["__module__"] = _renamed(module, old, new)
            modules.add(module.removeprefix(old))
    return modules


def differences(old: bytes, new: bytes, most: int = 5) -> tuple[str, ...]:
    """Return which parts of two model files differ, by their place in the estimator.

    Both are archives of `dump`; nothing is loaded.
    """
    lines = list(_unlike(_whole(old), _whole(new), "model"))
    if not lines:
        return ("the same parts, shared or written otherwise",)
    if len(lines) > most:
        return (*lines[:most], f"and {len(lines) - most} parts more")
    return tuple(lines)


def _whole(content: bytes) -> Any:
    """Return the schema of an archive with the bytes of its members in their places."""
    schema, members = _opened(content)
    for node in _nodes(schema):
        if isinstance(node.get("file"), str):
            node["file"] = members[node["file"]]
    return schema


def _unlike(old: Any, new: Any, path: str) -> Iterator[str]:
    """Yield place and difference for all in which two parts of schemas differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted((old.keys() | new.keys()) - {"__id__", "key_types"}):
            name = "" if key in ("content", "file") else f".{key}"
            yield from _unlike(old.get(key), new.get(key), path + name)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for number, pair in enumerate(zip(old, new, strict=True)):
            yield from _unlike(*pair, path + _label(pair[0], number))
    elif isinstance(old, bytes) and isinstance(new, bytes) and old != new:
        yield f"{path}: {_numbers(old, new)}"
    elif old != new:
        yield f"{path}: {_side(old)} then, {_side(new)} now"


def _side(value: Any) -> str:
    """Return one side of a difference in a few characters."""
    if isinstance(value, list | dict):
        return counted(len(value), "part")
    return str(value)[:40]


def _label(node: Any, at: int) -> str:
    """Return the name of a step, first in its tuple, or the place in a list."""
    inner = node.get("content") if isinstance(node, dict) else None
    first = inner[0] if isinstance(inner, list) and len(inner) > 1 else {}
    named = isinstance(first, dict) and str(first.get("content"))[:1] == '"'
    return f".{json.loads(first['content'])}" if named else f"[{at}]"


def _numbers(old: bytes, new: bytes) -> str:
    """Return by how much two arrays differ, where both are arrays of numbers."""
    import numpy as np

    try:
        one = np.load(io.BytesIO(old), allow_pickle=False)
        other = np.load(io.BytesIO(new), allow_pickle=False)
        differing = int((one != other).sum())
        gap = float(np.abs(one - other).max())
    except (ValueError, TypeError, EOFError):
        # No arrays, or none that can be subtracted.
        return f"{len(old)} bytes then, {len(new)} bytes now"
    return f"{differing} of {one.size} numbers differ, by {gap:.1e} at most"


def _refused(why: str) -> Refused:
    return Refused(
        f"not a model file of this engine: {why[:200]}", do="train or fetch it again"
    )


def _nodes(value: Any) -> Iterator[dict[str, Any]]:
    """Yield every object of a JSON document, parents first, in order."""
    if isinstance(value, dict):
        yield value
        for child in value.values():
            yield from _nodes(child)
    elif isinstance(value, list):
        for child in value:
            yield from _nodes(child)
