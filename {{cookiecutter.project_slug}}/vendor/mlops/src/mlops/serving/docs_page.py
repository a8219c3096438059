"""The page of the service: its OpenAPI description as HTML, without scripts.

Nothing is loaded from elsewhere, so it works behind any firewall.
"""

from __future__ import annotations

import json
from html import escape
from typing import Any

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 50rem; margin: 2rem auto;
  padding: 0 1rem; color-scheme: light dark; }}
pre {{ overflow-x: auto; padding: .75rem; border: 1px solid #8884; }}
code, pre {{ font: 14px/1.4 ui-monospace, monospace; }}
td, th {{ text-align: left; padding: .1rem 1rem .1rem 0; vertical-align: top; }}
</style>
<h1>{title} <small>{version}</small></h1>
<p>The full description is <a href="/openapi.json">/openapi.json</a>.</p>
{routes}
</html>
"""


def page(schema: dict[str, Any]) -> str:
    """Return the page for an OpenAPI description."""
    routes = []
    for path, methods in schema["paths"].items():
        for method, route in methods.items():
            routes.append(_route(method.upper(), path, route))
    return _PAGE.format(
        title=escape(schema["info"]["title"]),
        version=escape(schema["info"]["version"]),
        routes="\n".join(routes),
    )


def _route(method: str, path: str, route: dict[str, Any]) -> str:
    """Return one endpoint: what it does, an example, and its answers."""
    parts = [f"<h2><code>{method} {escape(path)}</code></h2>"]
    description = escape(route.get("description", ""))
    parts += [f"<p>{text}</p>" for text in description.split("\n\n")]
    body = route.get("requestBody", {}).get("content", {}).get("application/json", {})
    if "example" in body:
        example = json.dumps(body["example"], indent=2, ensure_ascii=False)
        parts.append(f"<p>Example of a body:</p><pre>{escape(example)}</pre>")
    rows = []
    for status, response in route.get("responses", {}).items():
        meaning = escape(response.get("description", ""))
        rows.append(f"<tr><th>{escape(status)}<td>{meaning}")
    parts.append(f"<table>{''.join(rows)}</table>")
    return "\n".join(parts)
