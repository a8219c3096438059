"""One file on a web server, over HTTPS."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from mlops import settings
from mlops.config.fields import without_secrets
from mlops.data.elsewhere import Found, OutOfReach
from mlops.errors import EnvironmentFailure

if TYPE_CHECKING:
    from requests import Response, Session

_PIECE = 1 << 20  # bytes that are read at once

_MOST_REDIRECTS = 5


class WebSource:
    """A file on a web server.

    Parameters
    ----------
    address : str
        May have a query, which no error shows.
    schemes : tuple of str
        What it, and where it redirects to, may begin with; others in tests.
    """

    def __init__(self, address: str, schemes: tuple[str, ...] = ("https",)) -> None:
        self._address = address
        self._schemes = schemes
        self._shown = without_secrets(address)

    def look(self) -> list[Found]:
        """Return the file; see `Store.look`. Its headers are read, and no more."""
        with self._open() as response:
            size = response.headers.get("Content-Length", "")
            length = int(size) if size.isascii() and size.isdigit() else -1
            return [Found(self._shown, length, _version_of(response))]

    def read(self, one: Found) -> Iterator[bytes]:
        """Yield the content; see `Store.read`."""
        from requests import RequestException

        with self._open() as response:
            try:
                yield from response.iter_content(_PIECE)
            except RequestException as error:
                raise self._silent(error) from None

    def version(self, one: Found) -> str:
        """Return the version that the file has now."""
        return self.look()[0].version

    @contextmanager
    def _open(self) -> Iterator[Response]:
        """Yield the answer of the server that has the file."""
        from requests import RequestException, Session

        try:
            with Session() as session, self._final(session) as response:
                self._require_content(response)
                yield response
        except RequestException as error:
            raise self._silent(error) from None

    def _final(self, session: Session) -> Response:
        """Return the answer that redirects nowhere else."""
        seconds = settings.current().http_timeout
        address = self._address
        for _ in range(_MOST_REDIRECTS + 1):
            response = session.get(
                address,
                # As it is stored: a compressed file is not to be unpacked on its way.
                headers={"Accept-Encoding": "identity"},
                stream=True,
                timeout=(seconds, seconds),
                allow_redirects=False,
            )
            if not response.is_redirect:
                return response
            response.close()
            address = urljoin(address, response.headers["Location"])
            if urlsplit(address).scheme not in self._schemes:
                raise EnvironmentFailure(
                    "the web server redirects to another kind of address",
                    file=self._shown,
                    found=without_secrets(address),
                    allowed=" or ".join(self._schemes),
                    do="name the address where the file is",
                )
        raise EnvironmentFailure(
            "the web server redirects without end",
            file=self._shown,
            found=f"more than {_MOST_REDIRECTS} redirects",
            do="name the address where the file is",
        )

    def _require_content(self, response: Response) -> None:
        """Raise the error for an answer that is not the file."""
        status = response.status_code
        if status == 200:
            return
        found = f"{status} {response.reason or ''}".strip()
        if status in (408, 425, 429) or status >= 500:
            raise OutOfReach(
                "the web server cannot answer now",
                file=self._shown,
                found=found,
                do="try again later",
            )
        do = "check the address"
        if status in (401, 403):
            do = "only what needs no login is read over https; put it into a bucket"
        raise EnvironmentFailure(
            "the web server does not hand out this file",
            file=self._shown,
            found=found,
            allowed="200",
            do=do,
        )

    def _silent(self, error: Exception) -> OutOfReach:
        """Return the error for a server that does not answer, without its words."""
        return OutOfReach(
            "the web server does not answer, or broke off",
            file=self._shown,
            found=type(error).__name__,
            do="try again later; check the network",
        )


def _version_of(response: Response) -> str:
    """Return what changes with the content: a strong ETag, else the time of change."""
    tag = response.headers.get("ETag", "")
    if tag and not tag.startswith("W/"):
        return tag.strip('"')
    return response.headers.get("Last-Modified", "")
