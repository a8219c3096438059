"""Commands that fetch a version: pull and reproduce."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Option

from mlops.cli.app import app
from mlops.cli.arguments import MaybeRef, Models, Ref
from mlops.cli.context import Context, current_context, registry_of
from mlops.cli.each import each_live, flags, require_one
from mlops.cli.output import Json, emit, progress
from mlops.cli.places import place_at

if TYPE_CHECKING:
    from mlops.io.places import Place


@app.command(rich_help_panel="Release")
def pull(
    ref: Ref,
    out: Annotated[
        Path | None,
        Option(
            help="Folder; default: MODEL-VERSION (in a repository: in build/pulled)."
        ),
    ] = None,
    source: Annotated[
        str | None,
        Option("--from", help="Another repository: OWNER/REPO on GitHub, or a folder."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Download the files of a version and verify them.

    With --from, it works in any folder.

    Example: `mlops pull employment@production --from acme/census --out ./model`
    """
    from mlops.registry.chain import chain

    model = ref.replace("#", "@").partition("@")[0]
    with registry_of(source, model) as (root, store, pulled):
        bundle = chain(root, ref, store)
        folder = out or pulled / f"{bundle.version.model}-{bundle.version.number}"
        paths = [str(path) for path in bundle.save(folder, progress())]
    emit({"version": bundle.version.ref, "files": paths}, "\n".join(paths), as_json)


@app.command(rich_help_panel="Release")
def reproduce(
    ref: MaybeRef = None,
    models: Models = None,
    stored: Annotated[
        str,
        Option(help="Folder that `mlops data copy` wrote, instead of `data.store`."),
    ] = "",
    as_json: Json = False,
) -> None:
    """Train a version again in its own environment; compare bytes.

    Example: `mlops reproduce employment@v1.0.0`
    """
    require_one(ref, models, "VERSION")
    if ref is None:
        words = ["--stored", stored, *flags({"--json": as_json})]
        each_live("reproduce", models or "", words)
        return
    _reproduce(ref, stored, as_json)


def _reproduce(ref: str, stored: str, as_json: bool) -> None:
    """Train one version again, and say whether it has the same bytes."""
    from mlops.registry.reproduce import reproduce as again

    at = current_context(fetch=True)
    rows = _rows_of(at, ref, stored)
    done = again(at.project, ref, at.store, progress(), rows)
    outcome = "the same bytes" if done.same else "NOT REPRODUCIBLE"
    lines = [
        f"{done.version}: {outcome}",
        f"  then  {done.expected}",
        f"  now   {done.found}",
        f"  in    {done.environment}",
    ]
    if done.compiled:
        lines.append(f"  model.onnx  {done.compiled}")
    lines += [f"  {part}" for part in done.differences]
    text = "\n".join(lines)
    emit(vars(done), text, as_json, page=text, yes=done.same)


def _rows_of(at: Context, ref: str, stored: str) -> Place | None:
    """Return the place of snapshots: the copy of one that another job made, if any."""
    from mlops.data.handed_on import require_copied
    from mlops.io.places import FolderPlace

    if stored:
        name = ref.replace("#", "@").partition("@")[0]
        command = f"mlops data copy {name} --out {stored}"
        require_copied(at.settings.folder / stored, name, command)
        return FolderPlace(at.settings.folder / stored)
    text = at.project.spec.data.store
    return place_at(text, at.project.root, "data.store") if text else None
