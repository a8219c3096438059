"""GitHub on one machine: a repository's own workflows, against a stand-in for the API.

Nothing outside the package is imported by it, and nothing of it is generated.
"""
