"""A page about the HTTP API, from its own schema: no script, and nothing from elsewhere."""

import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from fastapi import FastAPI, Request, Response

Schema = Mapping[str, Any]

_VERBATIM = re.compile(r"`([^`]+)`")


def add_docs(app: FastAPI) -> None:
    """Serve the page at `/docs`."""

    async def docs(request: Request) -> Response:
        return Response(
            docs_page(app.openapi(), str(request.base_url)), media_type="text/html; charset=utf-8"
        )

    app.add_api_route("/docs", docs, methods=["GET", "HEAD"], include_in_schema=False)


def docs_page(schema: Schema, address: str) -> str:
    """The page as HTML.

    Args:
        schema: of the API, OpenAPI 3.1.
        address: of the server, ending in a slash, for the example.
    """
    info = schema["info"]
    operations = "".join(
        _operation(method, path, operation)
        for path, methods in schema["paths"].items()
        for method, operation in methods.items()
    )
    types = "".join(
        _type(name, one)
        for name, one in schema["components"]["schemas"].items()
        if "properties" in one
    )
    example = f"curl -F files=@slice.png {address}predict"
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escape(info["title"])}: HTTP API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="page.css">
</head>
<body class="docs">
<p class="notice"><strong>Research only. Not for diagnosis.</strong></p>
<header><h1>HTTP API of {escape(info["title"])} {escape(info["version"])}</h1></header>
<main>
<p>An example: <code>{escape(example)}</code></p>
<p>For programs the same is at <a href="openapi.json">openapi.json</a>; the page for people is
<a href="./">here</a>.</p>
{operations}
<h2>Answers</h2>
{types}
</main>
</body>
</html>
"""


def _text(plain: str) -> str:
    """Plain text as HTML; between backticks it is shown verbatim."""
    return _VERBATIM.sub(r"<code>\1</code>", escape(plain))


def _operation(method: str, path: str, operation: Schema) -> str:
    given = [
        (one["name"], _kind(one["schema"]), _default(one["schema"]), one.get("description", ""))
        for one in operation.get("parameters", ())
    ]
    for kind, body in operation.get("requestBody", {}).get("content", {}).items():
        given += [
            (name, f"{_kind(one)}, in {kind}", "required", one.get("description", ""))
            for name, one in body["schema"]["properties"].items()
        ]
    answers = [
        (status, _answer(one), one["description"])
        for status, one in operation.get("responses", {}).items()
    ]
    parameters = _table(("Parameter", "Kind", "Default", "Meaning"), given) if given else ""
    return (
        f"<h2><code>{escape(method.upper())} {escape(path)}</code></h2>\n"
        f"<p>{_text(operation.get('description', ''))}</p>\n{parameters}"
        f"{_table(('Status', 'Answer', 'Meaning'), answers)}\n"
    )


def _type(name: str, schema: Schema) -> str:
    rows = [
        (key, _kind(one), one.get("description", "")) for key, one in schema["properties"].items()
    ]
    about = _text(schema.get("description", ""))
    return (
        f'<h3 id="{escape(name)}">{escape(name)}</h3>\n<p>{about}</p>\n'
        f"{_table(('Field', 'Kind', 'Meaning'), rows)}\n"
    )


def _answer(response: Schema) -> str:
    schemas = (one.get("schema", {}) for one in response.get("content", {}).values())
    return ", ".join(_kind(one) for one in schemas if one)


def _kind(schema: Schema) -> str:
    """A type in words: `string`, `list of Slice`, `number or null`."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "anyOf" in schema:
        return " or ".join(_kind(one) for one in schema["anyOf"])
    kind = str(schema.get("type", "anything"))
    if kind == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    bounds = [
        f"{words} {schema[key]}"
        for key, words in (("minimum", "from"), ("maximum", "to"))
        if key in schema
    ]
    return " ".join([kind, *bounds])


def _default(schema: Schema) -> str:
    default = schema.get("default", "required")
    return str(default).lower() if isinstance(default, bool) else str(default)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    names = "".join(f'<th scope="col">{escape(name)}</th>' for name in head)
    lines = "".join(map(_row, rows))
    return f"<table><thead><tr>{names}</tr></thead>\n<tbody>{lines}</tbody></table>\n"


def _row(cells: Sequence[str]) -> str:
    first, *others = map(_text, cells)
    told = "".join(f"<td>{other}</td>" for other in others)
    return f'<tr><th scope="row"><code>{first}</code></th>{told}</tr>\n'
