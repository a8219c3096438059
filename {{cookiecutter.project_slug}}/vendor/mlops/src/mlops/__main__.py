"""`python -m mlops` is `mlops`."""

from __future__ import annotations

from mlops.cli.main import main

main()
