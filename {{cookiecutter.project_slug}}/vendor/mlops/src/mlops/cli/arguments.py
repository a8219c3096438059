"""Arguments and options that several commands share."""

from __future__ import annotations

import json
from typing import Annotated, Any

from typer import Argument, Option
from typer.core import TyperCommand

from mlops.errors import UsageError

Ref = Annotated[
    str, Argument(metavar="VERSION", help="MODEL@v1.2.0, MODEL@STAGE or MODEL@latest.")
]

Followed = Annotated[
    str, Argument(metavar="MODEL@STAGE", help="For example churn@production.")
]

MaybeRef = Annotated[
    str | None,
    Argument(metavar="VERSION", help="MODEL@v1.2.0, MODEL@STAGE or MODEL@latest."),
]

MaybeFollowed = Annotated[
    str | None,
    Argument(metavar="MODEL@STAGE", help="For example churn@production."),
]

Model = Annotated[str, Argument(metavar="MODEL")]

StageName = Annotated[str, Argument(metavar="STAGE", help="A stage of project.yaml.")]

Approver = Annotated[str | None, Option(help="Who approved; default: the actor.")]

Sign = Annotated[
    bool,
    Option("--sign", help="Sign with your SSH key, if project.yaml requires it."),
]

Reason = Annotated[str, Option("--reason", "-m", help="Why; stored in the tag.")]

Why = Annotated[
    str, Option("--reason", "-m", metavar="WHY", help="Why; stored in the tag.")
]

Actor = Annotated[str | None, Option(help="Who decides; default: inferred.")]

Override = Annotated[
    bool,
    Option(
        "--override-rejection",
        help="Allow what a person rejected, rolled back or withdrew; say why.",
    ),
]


Expect = Annotated[
    str,
    Option(
        "--expect",
        help="Models whose results must be here, as a JSON list of names.",
    ),
]


def model_names(text: str, key: str = "--models") -> list[str]:
    """Return the names in a JSON list.

    Parameters
    ----------
    text : str
    key : str
        The option that holds it, for the error.

    Raises
    ------
    UsageError
        Where it is no list.
    """
    try:
        names = json.loads(text)
    except (ValueError, RecursionError):
        names = None
    if not isinstance(names, list):
        raise UsageError(
            "not a list of models",
            key=key,
            found=ascii(text)[:80],
            allowed='JSON, such as ["employment"]',
            do="look at the job `plan`: it did not say which models there are",
        )
    return names


Models = Annotated[
    str | None,
    Option(
        help="JSON list of names, as a job of a matrix has it. Each model has a "
        "process of its own, and an error of one does not end the others; where a "
        "stage is needed, it is the last one.",
    ),
]


def jobs_of_plan(text: str, key: str = "--models") -> dict[str, list[str]]:
    """Return the jobs of a plan, with the models of each.

    Parameters
    ----------
    text : str
        JSON: names of jobs with lists of models, or a list of models, which have a job
        each.
    key : str
        The option that holds it, for the error.

    Raises
    ------
    UsageError
        Where it is neither.
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if isinstance(found, dict) and found:
        return {str(job): model_names(json.dumps(found[job]), key) for job in found}
    return {str(name): [name] for name in model_names(text, key)}


def _three(words: Any) -> Any:
    """Return the words of a condition as they came."""
    return tuple(words)


Where = Annotated[
    list[Any] | None,
    Option(
        "--where",
        parser=_three,
        metavar="KEY OP VALUE",
        help="A condition, such as `metrics.roc_auc gt 0.8`. OP is eq, ne, lt, le, gt, "
        "ge or in. Repeat the option for more conditions; all must hold.",
    ),
]


class WithWhere(TyperCommand):
    """A command whose option `--where` takes three words, and may be repeated."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for parameter in self.params:
            if parameter.name == "where":
                parameter.nargs = 3

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Refuse the one text of earlier versions, and spell out the new form."""
        from mlops.runlog.conditions import require_new_form

        for position, word in enumerate(args):
            if word == "--where" and position + 1 < len(args):
                require_new_form(args[position + 1])
            elif word.startswith("--where="):
                require_new_form(word.removeprefix("--where="))
        return super().parse_args(ctx, args)
