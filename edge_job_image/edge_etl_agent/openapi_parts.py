"""What the descriptions of all requests are made of (OpenAPI 3.1)."""

from typing import Any


def answer(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    """Return the description of a JSON answer."""
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def refused(*statuses: int) -> dict[str, Any]:
    """Return the refusals with these statuses."""
    return {str(each): response(str(each)) for each in statuses}


def ref(schema: str) -> dict[str, Any]:
    """Name a schema."""
    return {"$ref": f"#/components/schemas/{schema}"}


def response(name: str) -> dict[str, Any]:
    """Name a response."""
    return {"$ref": f"#/components/responses/{name}"}


def refusal(reason: str, text: str) -> dict[str, Any]:
    """Return the description of a refusal."""
    return answer(f"{reason}: {text}", ref("Refusal"))
