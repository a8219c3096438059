"""A second world that is where the first one is, so that stories can begin alike."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rehearsal.hub import Hub
from rehearsal.stories.world import World


@contextmanager
def copied(world: World, root: Path, **about: Any) -> Iterator[World]:
    """Start a copy of a world; nothing passes between the two.

    Parameters
    ----------
    world : World
        Its hub may go on running.
    root : Path
        Everything of the copy lies below it.
    **about
        What its hub has another way: private, plan.
    """
    root.mkdir(parents=True, exist_ok=True)
    for name in ("origin.git", "storage", "artifacts"):
        source = world.hub.root / name
        if source.exists():
            shutil.copytree(source, root / "hub" / name, symlinks=True)
    with Hub(root / "hub", repository=world.hub.repository, **about) as hub:
        hub.state.adopt(world.hub.state, besides=about)
        for asset in hub.state.assets.values():
            asset["path"] = hub.storage.folder / asset["path"].name
        for artifact in hub.state.artifacts.values():
            place = artifact["path"].relative_to(world.hub.artifacts_folder)
            artifact["path"] = hub.artifacts_folder / place
        yield world.twin(hub, root)
