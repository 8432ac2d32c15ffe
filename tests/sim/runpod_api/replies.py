"""Replies of REST v2: JSON, and problem documents (RFC 9457); and the checks of what came in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from aiohttp import web
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from jsonschema.exceptions import ValidationError  # type: ignore[import-untyped]
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from tests.sim.runpod_api.model import Refused

SPECIFICATION = Path(__file__).parent.parent / "data" / "runpod_v2_openapi.json"
_URN = "urn:runpod-v2"
_TITLES = {
    400: "Bad Request", 401: "Unauthorized", 402: "Payment Required", 403: "Forbidden", 404: "Not Found",
    405: "Method Not Allowed", 409: "Conflict", 410: "Gone", 422: "Unprocessable Entity", 429: "Too Many Requests",
    500: "Internal Server Error", 502: "Bad Gateway", 503: "Service Unavailable",
}  # fmt: skip


@cache
def specification() -> dict[str, Any]:
    """Our OpenAPI document of the API."""
    document: dict[str, Any] = json.loads(SPECIFICATION.read_text(encoding="utf-8"))
    return document


@cache
def _validator(schema: str) -> Draft202012Validator:
    resource = Resource.from_contents(specification(), default_specification=DRAFT202012)
    registry: Registry[Any] = Registry().with_resource(_URN, resource)
    return Draft202012Validator({"$ref": f"{_URN}#/components/schemas/{schema}"}, registry=registry)


def violations(schema: str, body: object) -> list[str]:
    """What is wrong with a body by one of the document's schemas, in the API's wording; [] when nothing is."""
    errors = sorted(_validator(schema).iter_errors(body), key=lambda error: str(error.json_path))
    return [line for error in errors for line in _lines(error)]


def _lines(error: ValidationError) -> list[str]:
    if error.validator == "enum":
        return [f"{error.json_path}: value must be one of {', '.join(repr(one) for one in error.validator_value)}"]
    if error.validator == "additionalProperties" and isinstance(error.instance, Mapping):
        extra = sorted(set(error.instance) - set(error.schema.get("properties", {})))
        return [f"{error.json_path}.{name}: unknown property" for name in extra]
    if error.validator == "required" and isinstance(error.instance, Mapping):
        missing = [name for name in error.validator_value if name not in error.instance]
        return [f"{error.json_path}.{name}: is required" for name in missing]
    return [f"{error.json_path}: {error.message}"]


async def body_of(request: web.Request, schema: str) -> dict[str, Any]:
    """The request's JSON body. Raises Refused: 400 when it is no JSON, 422 when the schema refuses it."""
    try:
        body = json.loads(await request.read())
    except ValueError:
        raise Refused(400, "Request body is not valid JSON") from None
    wrong = violations(schema, body)
    if wrong:
        raise Refused(422, "Request validation failed.", tuple(wrong))
    checked: dict[str, Any] = body
    return checked


def choice(request: web.Request, name: str, values: tuple[str, ...]) -> str | None:
    """A query parameter out of a list. Raises Refused (422)."""
    value = request.query.get(name)
    if value is not None and value not in values:
        raise invalid(f"{name}: value must be one of {', '.join(repr(one) for one in values)}")
    return value


def number(request: web.Request, name: str, low: int, high: int) -> int | None:
    """A whole-number query parameter within bounds. Raises Refused (422)."""
    text = request.query.get(name)
    if text is None:
        return None
    try:
        value = int(text)
    except ValueError:
        raise invalid(f"{name}: expected an integer") from None
    if not low <= value <= high:
        raise invalid(f"{name}: must be between {low} and {high}")
    return value


def names(request: web.Request, name: str) -> tuple[str, ...]:
    """A comma-separated or repeated query parameter."""
    return tuple(part for text in request.query.getall(name, []) for part in text.split(",") if part)


def invalid(error: str) -> Refused:
    """The refusal of one malformed value."""
    return Refused(422, "Request validation failed.", (error,))


def problem(
    status: int, detail: str, errors: tuple[str, ...] = (), headers: Mapping[str, str] | None = None
) -> web.Response:
    """A problem document."""
    body: dict[str, Any] = {"title": _TITLES.get(status, "Error"), "status": status, "detail": detail}
    if errors:
        body["errors"] = list(errors)
    return web.Response(
        status=status, body=json.dumps(body).encode(), content_type="application/problem+json", headers=headers
    )
