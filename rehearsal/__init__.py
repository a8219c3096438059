"""GitHub on one machine: a repository's own workflows, run against a stand-in for its API.

Nothing outside the package is imported by it, and nothing of it is generated.
"""
