"""The disk, git, and Python code that users write."""
