"""The report as one HTML file that needs nothing else: no script, no request, light and dark."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from mlops.reporting import words
from mlops.reporting.charts import charts
from mlops.reporting.facts import Everything, summary
from mlops.reporting.sections import sections


def html(facts: Everything) -> str:
    """Return the whole page; tables are cut, so that it stays below some 500 kB."""
    return template("report.html.j2", lambda value: words.clean(value, 500)).render(
        facts=facts,
        said=summary(facts),
        sections=sections(facts),
        charts=charts(facts),
        w=words,
    )


def template(name: str, shown: Callable[[object], str]) -> Template:
    """Return a template that prints everything through `shown`, except what is marked safe."""
    return Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=".html" in name,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: value if isinstance(value, Markup) else shown(value),
    ).get_template(name)
