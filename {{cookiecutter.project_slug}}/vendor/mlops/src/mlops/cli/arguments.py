"""Arguments and options that several commands share."""

from __future__ import annotations

from typing import Annotated

from typer import Argument, Option

Ref = Annotated[
    str, Argument(metavar="VERSION", help="MODEL@v1.2.0, MODEL@STAGE or MODEL@latest.")
]

Followed = Annotated[
    str, Argument(metavar="MODEL@STAGE", help="Such as churn@production.")
]

Model = Annotated[str, Argument(metavar="MODEL")]

StageName = Annotated[str, Argument(metavar="STAGE", help="As project.yaml names it.")]

Approver = Annotated[str | None, Option(help="Who approved; the actor where absent.")]

Reason = Annotated[str, Option("--reason", "-m", help="Why; kept in the tag.")]

Why = Annotated[str, Option("--reason", "-m", metavar="WHY", help="Kept in the tag.")]

Actor = Annotated[str | None, Option(help="Who does it; found out where absent.")]
