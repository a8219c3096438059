"""Whether GitHub publishes a repository's web page, and why it does not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from mlops.github.client import ask

if TYPE_CHECKING:
    from github.Repository import Repository


Publishing = Literal["on", "off", "branch", "private"]


def publishing(repository: Repository, private: bool, wanted: str) -> Publishing:
    """Return what becomes of the page that a workflow makes.

    Parameters
    ----------
    private : bool
        Whether the repository is; below Enterprise anybody may read its page.
    wanted : str
        The repository's variable PAGES: ``on`` publishes it all the same.

    Returns
    -------
    str
        ``on``, or why not: Pages is ``off``, it is built from a ``branch``, or the
        repository is ``private``. That Pages is there is not enough: `has_pages` of an
        event is true for a branch as well, and deploying then fails.
    """
    from github import UnknownObjectException

    get = repository.requester.requestJsonAndCheck

    def look() -> Any:
        try:
            return get("GET", f"{repository.url}/pages")[1]
        except UnknownObjectException:
            return None

    site = ask("say how Pages is built", look)
    if site is None:
        return "off"
    if site.get("build_type") != "workflow":
        return "branch"
    if private and wanted != "on":
        return "private"
    return "on"
