"""A stand-in for GitHub's API and for git over HTTP: stateful, strict, and faulty on demand."""

from rehearsal.hub.hub import Hub, HubError

__all__ = ["Hub", "HubError"]
