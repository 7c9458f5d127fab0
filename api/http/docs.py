"""The OpenAPI document as one page for people: plain HTML that needs neither a script nor another server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from api.errors import Row

Json = Mapping[str, Any]

STYLE = """
:root { color-scheme: light dark; --line: color-mix(in srgb, currentColor 18%, transparent); }
body { font: 15px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 60rem; padding: 1rem; }
code, pre { font: 13px/1.5 ui-monospace, monospace; }
pre { overflow-x: auto; white-space: pre-wrap; }
h2 { margin: 2rem 0 .5rem; }
details { border: 1px solid var(--line); border-radius: 8px; margin: .5rem 0; padding: 0 1rem; }
summary { cursor: pointer; padding: .6rem 0; }
summary code { font-weight: 600; }
.method { display: inline-block; min-width: 4.5rem; }
.note { opacity: .75; }
table { border-collapse: collapse; margin: .5rem 0 1rem; width: 100%; }
td, th { border-top: 1px solid var(--line); padding: .3rem .8rem .3rem 0; text-align: left; vertical-align: top; }
"""


def page(document: Json, problems: Mapping[str, Row]) -> str:
    """HTML of an OpenAPI document and of the problems, by code, that its calls may answer with."""
    return "".join(_page(document, problems))


def _page(document: Json, problems: Mapping[str, Row]) -> Iterator[str]:
    info = document["info"]
    title = escape(f"{info['title']} {info['version']}")
    yield f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield '<link rel="icon" href="/web/icon.svg"><link rel="stylesheet" href="/docs/style.css"></head><body>'
    yield f"<h1>{title}</h1>"
    for paragraph in info.get("description", "").split("\n\n"):
        yield f"<p>{_marked(paragraph)}</p>"
    yield '<p><a href="/openapi.json">openapi.json</a> · <a href="/asyncapi.json">asyncapi.json</a></p>'
    groups: dict[str, list[str]] = {}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            group = groups.setdefault(operation.get("tags", ["other"])[0], [])
            group.append("".join(_operation(method, path, operation)))
    for name, sections in groups.items():
        yield f"<h2>{escape(name)}</h2>"
        yield from sections
    yield "<h2>problems</h2><table><tr><th>code<th>status<th>"
    for code, row in problems.items():
        yield f'<tr id="problem-{escape(code)}"><td><code>{escape(code)}</code><td>{row.status}'
        yield f"<td>{escape(row.title)}"
    yield "</table><h2>shapes</h2>"
    for name, schema in sorted(document["components"]["schemas"].items()):
        yield f'<details id="{escape(name)}"><summary><code>{escape(name)}</code></summary>'
        yield from _schema(schema)
        yield "</details>"
    yield "</body></html>"


def _operation(method: str, path: str, operation: Json) -> Iterator[str]:
    first, _, rest = operation.get("description", "").partition("\n")
    yield f'<details><summary><code><span class="method">{method.upper()}</span> {escape(path)}</code> '
    yield f'<span class="note">{_marked(first)}</span></summary>'
    yield f"<p>{_marked(rest)}</p>" if rest.strip() else ""
    yield "" if operation.get("security") else '<p class="note">Needs no token.</p>'
    if parameters := operation.get("parameters"):
        yield "<table><tr><th>parameter<th>in<th>type<th>"
        for each in parameters:
            needed = "required" if each.get("required") else ""
            yield f"<tr><td><code>{escape(each['name'])}</code><td>{each['in']}"
            yield f"<td>{_type(each.get('schema', {}))}<td>{needed}"
        yield "</table>"
    for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
        yield f"<p>Body: {_type(content.get('schema', {}))} <span class=note>{escape(media_type)}</span></p>"
    yield "<table><tr><th>answer<th>body<th>"
    for status, response in operation["responses"].items():
        kinds = ", ".join(_type(content.get("schema", {})) for content in response.get("content", {}).values())
        yield f"<tr><td>{escape(status)}<td>{kinds}<td>{_marked(response['description'])}"
    yield "</table></details>"


def _schema(schema: Json) -> Iterator[str]:
    if text := schema.get("description"):
        yield f"<p>{_marked(text)}</p>"
    properties: Json = schema.get("properties", {})
    if not properties:
        yield f"<p>{_type(schema)}</p>"
        return
    required = schema.get("required", ())
    yield "<table><tr><th>field<th>type<th>"
    for name, inner in properties.items():
        note = inner.get("description", "") or ("" if name in required else "optional")
        yield f"<tr><td><code>{escape(name)}</code><td>{_type(inner)}<td>{_marked(note)}"
    yield "</table>"


def _type(schema: Json) -> str:
    """A type in a few words, with a link where it has a name."""
    if reference := schema.get("$ref"):
        name = escape(reference.rpartition("/")[2])
        return f'<a href="#{name}">{name}</a>'
    for several in ("anyOf", "oneOf", "allOf"):
        if several in schema:
            return " or ".join(_type(each) for each in schema[several])
    if "enum" in schema:
        return " or ".join(f"<code>{escape(str(each))}</code>" for each in schema["enum"])
    if "const" in schema:
        return f"<code>{escape(str(schema['const']))}</code>"
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    kind = escape(str(schema.get("format") or schema.get("type", "anything")))
    limits = [
        f"{word} {schema[key]}"
        for key, word in (
            ("minimum", "from"),
            ("maximum", "to"),
            ("minLength", "at least"),
            ("maxLength", "at most"),
        )
        if key in schema
    ]
    return f"{kind} ({', '.join(limits)})" if limits else kind


def _marked(text: str) -> str:
    """Escaped text, with what stands in backticks as code."""
    parts = escape(text).split("`")
    return "".join(f"<code>{part}</code>" if index % 2 else part for index, part in enumerate(parts))
