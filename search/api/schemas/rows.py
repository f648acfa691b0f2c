"""Rows of a fixed number of numbers, told so that every generator of clients understands it.

Pydantic would write `prefixItems`, which is right and which few read.
"""

from __future__ import annotations

from typing import Any

from pydantic import WithJsonSchema


def row(kind: str, count: int, **limits: float) -> WithJsonSchema:
    """Return the JSON schema of so many numbers, "integer" or "number", within limits."""
    items: dict[str, Any] = {"type": kind, **limits}
    return WithJsonSchema({"type": "array", "items": items, "minItems": count, "maxItems": count})
