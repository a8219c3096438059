"""The version in production, which the challenger is compared with."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING

from mlops.config.project import Project

if TYPE_CHECKING:
    from mlops.registry.chain import Bundle
    from mlops.storage.protocol import ReleaseStore


class Production:
    """The version in the last stage of `project.yaml`, looked up when it is asked for.

    Parameters
    ----------
    project : Project
    name : str
        The model.
    store : callable, optional
        Returns the release store; None: no version is looked up.
    """

    def __init__(
        self,
        project: Project,
        name: str,
        store: Callable[[], ReleaseStore] | None = None,
    ) -> None:
        self._project = project
        self._name = name
        self._store = store

    @cached_property
    def version(self) -> str | None:
        """Its number by the tags; None where there is none.

        Refused where nobody can say which version is in the stage.
        """
        from mlops.registry.tags import read_registry

        if self._store is None:
            return None
        stage = self._project.spec.stages[-1].name
        version = read_registry(self._project.root).model(self._name).in_stage(stage)
        return version.number if version else None

    @cached_property
    def release(self) -> Bundle | None:
        """Its release, the chain of digests verified."""
        from mlops.registry.chain import fetch

        if self.version is None or self._store is None:
            return None
        return fetch(self._project, f"{self._name}@{self.version}", self._store())

    @cached_property
    def anchor(self) -> Bundle | None:
        """The release that the one in production is a refresh of, at whatever remove.

        None where it is no refresh. A release that cannot be read is passed over for
        the next one of the line.
        """
        from mlops.errors import Refused
        from mlops.registry.anchors import is_refresh, refreshed_from
        from mlops.registry.chain import fetch
        from mlops.registry.tags import read_registry

        release = self.release
        if release is None or self._store is None:
            return None
        if not is_refresh(release.manifest.verdict):
            return None
        known = read_registry(self._project.root).model(self._name)
        line = refreshed_from(self._project.root, known, str(self.version))
        for version in reversed(line[1:]):
            with suppress(Refused):
                return fetch(self._project, f"{self._name}@{version}", self._store())
        return None
