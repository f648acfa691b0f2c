"""Pictures as responses, which browsers may keep."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import Request, Response

#: An image's id is a digest of what is shown. Only for the browser that asked: there may be keys.
FOREVER = "private, max-age=31536000, immutable"
#: Another detector's boxes may give a segment's id another mask: browsers ask before they use it.
ASK = "private, no-cache"


def picture(
    request: Request,
    media_type: str,
    names: tuple[object, ...],
    make: Callable[[], bytes],
    filename: str | None = None,
    *,
    keep: str = FOREVER,
) -> Response:
    """Return a picture, or 304 if the browser says that it has it.

    Args:
        request: may name the entity tags that the browser has.
        media_type: of the picture.
        names: say what it shows and how, and are its entity tag.
        make: returns the picture.
        filename: to be saved under; without it, it is shown.
        keep: how long browsers may keep it: `FOREVER` or `ASK`.
    """
    tag = '"' + "-".join(map(str, names)) + '"'
    headers = {"etag": tag, "cache-control": keep}
    known = ",".join(request.headers.getlist("if-none-match"))
    if known.strip() == "*" or tag in known:
        return Response(status_code=304, headers=headers)
    if filename is not None:
        headers["content-disposition"] = f'attachment; filename="{filename}"'
    return Response(make(), media_type=media_type, headers=headers)
