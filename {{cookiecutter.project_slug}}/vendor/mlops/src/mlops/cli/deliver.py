"""Commands that bring the prediction log of this machine to its place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops.cli.app import app
from mlops.cli.arguments import Model
from mlops.cli.context import Context, current_context
from mlops.cli.output import Json, emit
from mlops.cli.places import delivery_place
from mlops.errors import EnvironmentFailure, Refused, UsageError, counted, megabytes

if TYPE_CHECKING:
    from mlops.serving.log_delivery import Delivery


@app.command(rich_help_panel="Use")
def deliver(name: Model, as_json: Json = False) -> None:
    """Deliver the prediction log of this machine to its place.

    `mlops serve` and `mlops predict` do so themselves; this is for what they left
    behind while the place was away.

    Example: `MLOPS_PREDICTIONS=s3://acme/logs mlops deliver employment`
    """
    at = current_context()
    delivery = delivery_of(at, name)
    if delivery is None:
        raise UsageError(
            "the prediction log of this machine stays here",
            key="MLOPS_PREDICTIONS",
            allowed="a folder, or s3://BUCKET/PREFIX",
            do="name the place there, or as predictions.store of project.yaml",
        )
    done = delivery.deliver(at.now())
    if done is None:
        raise Refused("another process delivers this log now", found=name)
    if done.problem:
        waiting = megabytes(done.waiting)
        raise EnvironmentFailure(f"{waiting} of the log wait: {done.problem}")
    rows = counted(done.rows, "row")
    text = f"{rows} of {name} delivered in {counted(done.parts, 'part')}"
    facts = {"rows": done.rows, "parts": done.parts, "waiting_bytes": done.waiting}
    emit(facts, text, as_json)


@app.command(hidden=True)
def deliver_worker(name: Model) -> None:
    """Deliver while standard input is open; a service starts this."""
    from mlops.serving.deliverer import deliver_until_end
    from mlops.serving.server import log_to_terminal

    log_to_terminal("delivery: ")
    at = current_context()
    delivery = delivery_of(at, name)
    if delivery is not None:
        deliver_until_end(delivery, at.settings.delivery_seconds)


def delivery_of(at: Context, name: str) -> Delivery | None:
    """Return what delivers the log of a model; None where it stays here."""
    from mlops.serving.log_delivery import Delivery

    project = at.project
    target = delivery_place(project)
    if target is None:
        return None
    rules = project.spec.predictions
    return Delivery(project.state, name, target, rules.backlog_bytes, rules.days)
