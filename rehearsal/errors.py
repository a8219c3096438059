"""The errors of the rehearsal."""

from __future__ import annotations


class RehearsalError(Exception):
    """The rehearsal cannot say what GitHub would do.

    Parameters
    ----------
    *reasons : str
        Every reason at once, each a sentence.
    """

    def __init__(self, *reasons: str) -> None:
        self.reasons = reasons
        super().__init__("\n".join(reasons))


class UsageError(Exception):
    """What was requested cannot be done; the text says why."""
