"""The model file: a skops archive in one canonical form, and the only way to load one.

Two dumps of one fitted model by skops differ: ids and member names are memory addresses, members
carry the time. Here ids are numbered and members named in order of appearance, times are fixed,
JSON is sorted and nothing is compressed, so that equal models are equal bytes.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterable, Iterator
from typing import Any

from mlops.errors import Refused, listed

# Types outside skops' own list of safe ones that a model file may contain. This list is part of the
# repository: it is never read from the file that is being loaded.
TRUSTED = (
    "numpy.dtype",
    "sklearn.compose._column_transformer._RemainderColsList",
    "sklearn.compose._column_transformer.make_column_selector",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
)


def dump(estimator: Any) -> bytes:
    """Return a fitted scikit-learn estimator as a canonical skops archive.

    Parameters
    ----------
    estimator : object
        A fitted estimator made of types that skops can write.

    Returns
    -------
    bytes
        The same for equal models, in every process and with every number of threads.
    """
    import skops.io

    with zipfile.ZipFile(io.BytesIO(skops.io.dumps(estimator))) as archive:
        schema = json.loads(archive.read("schema.json"))
        members = {name: archive.read(name) for name in archive.namelist()}
    ids: dict[object, int] = {}
    names: dict[str, str] = {}
    for node in _nodes(schema):
        if node.get("__class__") == "_BinMapper":
            # The number of threads of the machine that trained; no part of the model.
            node["content"]["content"]["n_threads"]["content"] = "1"
        if "__id__" in node:
            # Whether two equal plain values are one object in memory is chance: go by the value.
            plain = node["__loader__"] == "JsonNode"
            key = f"{node['__class__']} {node['content']}" if plain else node["__id__"]
            node["__id__"] = ids.setdefault(key, len(ids))
        if isinstance(node.get("file"), str):
            suffix = node["file"].rpartition(".")[2]
            node["file"] = names.setdefault(node["file"], f"{len(names):05d}.{suffix}")
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        text = json.dumps(schema, sort_keys=True, separators=(",", ":"))
        archive.writestr(
            zipfile.ZipInfo("schema.json"), text
        )  # of 1980, as every new ZipInfo is
        for old, new in sorted(names.items(), key=lambda pair: pair[1]):
            archive.writestr(zipfile.ZipInfo(new), members[old])
    return out.getvalue()


def load(content: bytes, extra_trusted: Iterable[str] = ()) -> Any:
    """Return the estimator in a canonical archive.

    Parameters
    ----------
    content : bytes
        Bytes whose digest the caller has verified.
    extra_trusted : iterable of str
        Types of `trusted_types` in project.yaml.

    Raises
    ------
    Refused
        When the archive is not canonical (compressed members, names that escape), is damaged, or
        holds a type that is not allowed. Nothing is unpickled.
    """
    import skops.io

    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            for member in members:
                if member.compress_type != zipfile.ZIP_STORED or "/" in member.filename:
                    raise _refused(
                        f"member {member.filename!r} is compressed or not in place"
                    )
            if sum(member.file_size for member in members) > len(content):
                raise _refused("its members are larger than the file, so they overlap")
        return skops.io.loads(content, trusted=allowed_types(content, extra_trusted))
    except Refused:
        raise
    except (
        Exception
    ) as error:  # there is no list of what a damaged or hostile archive can raise
        raise _refused(f"{type(error).__name__}: {error}") from error


def allowed_types(content: bytes, extra_trusted: Iterable[str] = ()) -> list[str]:
    """Return the types in a model file that skops does not know to be safe, all of them allowed.

    Raises
    ------
    Refused
        When one is not; training asks too, so that nobody trains what cannot be loaded.
    """
    import skops.io

    unknown: list[str] = skops.io.get_untrusted_types(data=content)
    foreign = sorted(set(unknown) - set(TRUSTED) - set(extra_trusted))
    if foreign:
        what = "the model file holds types that are not allowed"
        allowed = "scikit-learn's and numpy's own, and `trusted_types` in project.yaml"
        do = "if you know the type and trust its code, add it to `trusted_types`"
        raise Refused(what, found=listed(foreign), allowed=allowed, do=do)
    return unknown


def differences(old: bytes, new: bytes, most: int = 5) -> tuple[str, ...]:
    """Return which parts of two model files differ, by their place in the estimator, in few lines.

    Both are archives of `dump`; nothing is loaded.
    """
    found = list(_unlike(_opened(old), _opened(new), "model"))
    more = [f"and {len(found) - most} parts more"] if len(found) > most else []
    return (*found[:most], *more) or ("the same parts, shared or written otherwise",)


def _opened(content: bytes) -> Any:
    """Return the schema of an archive with the bytes of its members in their places."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        schema = json.loads(archive.read("schema.json"))
        for node in _nodes(schema):
            if isinstance(node.get("file"), str):
                node["file"] = archive.read(node["file"])
    return schema


def _unlike(old: Any, new: Any, place: str) -> Iterator[str]:
    """Yield place and difference for everything in which two parts of schemas differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted((old.keys() | new.keys()) - {"__id__", "key_types"}):
            name = "" if key in ("content", "file") else f".{key}"
            yield from _unlike(old.get(key), new.get(key), place + name)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for number, pair in enumerate(zip(old, new, strict=True)):
            yield from _unlike(*pair, place + _label(pair[0], number))
    elif isinstance(old, bytes) and isinstance(new, bytes) and old != new:
        yield f"{place}: {_numbers(old, new)}"
    elif old != new:
        sides = [
            f"{len(x)} parts" if isinstance(x, list | dict) else str(x)
            for x in (old, new)
        ]
        yield f"{place}: {sides[0][:40]} then, {sides[1][:40]} now"


def _label(node: Any, at: int) -> str:
    """Return the name of a step, which stands first in its tuple, or the place in a list."""
    inner = node.get("content") if isinstance(node, dict) else None
    first = inner[0] if isinstance(inner, list) and len(inner) > 1 else {}
    named = isinstance(first, dict) and str(first.get("content"))[:1] == '"'
    return f".{json.loads(first['content'])}" if named else f"[{at}]"


def _numbers(old: bytes, new: bytes) -> str:
    """Return by how much two arrays differ, where both are arrays of numbers."""
    import numpy as np

    try:
        one, other = (
            np.load(io.BytesIO(raw), allow_pickle=False) for raw in (old, new)
        )
        wrong, gap = int((one != other).sum()), float(np.abs(one - other).max())
    except (
        ValueError,
        TypeError,
        EOFError,
    ):  # no arrays, or none that can be subtracted
        return f"{len(old)} bytes then, {len(new)} bytes now"
    return f"{wrong} of {one.size} numbers differ, by {gap:.1e} at most"


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
