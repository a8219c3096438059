"""The report as one HTML file that needs nothing else: no script, no request, light and dark."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mlops.reporting.charts import charts
from mlops.reporting.facts import Everything, summary
from mlops.reporting.sections import sections
from mlops.reporting.words import capital, clean, count, duration, label, number

LIMIT = 500_000


def html(facts: Everything) -> str:
    """Return the whole page, smaller than 500 kB whatever comes."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: value if isinstance(value, Markup) else clean(value, 700),
    )
    template = environment.get_template("report.html.j2")
    drawn = [(chart, Markup(svg)) for chart, svg in charts(facts)]
    known: dict[str, Any] = {"facts": facts, "said": summary(facts), "figures": _figures(facts)}
    known |= {"sections": sections(facts), "charts": drawn}
    text = ""
    for most in (500, 150, 40, 10, 0):
        text = template.render(known, most=most)
        if len(text.encode()) < LIMIT:
            break
    return text


def _figures(facts: Everything) -> list[tuple[str, str]]:
    """Return the few figures that stand at the top, each with what it counts."""
    found = []
    if facts.evaluation and facts.evaluation.metrics:
        primary = facts.evaluation.primary
        found.append((number(primary.value), capital(label(primary.name))))
    if facts.evaluation:
        asked = [c.ok for c in facts.evaluation.checks if not c.skipped]
        found.append((f"{sum(asked):,} of {len(asked):,}", "tests passed"))
    if facts.validation and facts.validation.snapshot:
        found.append((f"{facts.validation.snapshot.rows:,}", "rows of data"))
    if facts.run.seconds:
        found.append(
            (duration(sum(facts.run.seconds.values())), count(len(facts.run.seconds), "stage"))
        )
    return found
