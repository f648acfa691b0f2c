"""Pictures as responses: what they show never changes, so that browsers may keep them."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import Request, Response

#: Ids are digests of what is shown; only for the browser that asked, as there may be keys.
_FOREVER = "private, max-age=31536000, immutable"


def picture(
    request: Request,
    media_type: str,
    names: tuple[object, ...],
    make: Callable[[], bytes],
    filename: str | None = None,
) -> Response:
    """Return a picture, or 304 if the browser says that it has it.

    Args:
        request: may name the entity tags that the browser has.
        media_type: of the picture.
        names: say what it shows and how, and are its entity tag.
        make: returns the picture.
        filename: to be saved under; without it, it is shown.
    """
    tag = '"' + "-".join(map(str, names)) + '"'
    headers = {"etag": tag, "cache-control": _FOREVER}
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    if filename is not None:
        headers["content-disposition"] = f'attachment; filename="{filename}"'
    return Response(make(), media_type=media_type, headers=headers)
