"""A stand-in for GitHub's API and git over HTTP: stateful, strict, faulty on demand."""

from rehearsal.hub.hub import Hub, HubError

__all__ = ["Hub", "HubError"]
