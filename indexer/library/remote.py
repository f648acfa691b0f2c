"""Pictures in an object store that speaks S3: ``s3://bucket/prefix``, through pyarrow.

Keys are taken for paths, as all tools do: what lies between two "/" is a folder. Credentials,
region and endpoint come from the AWS variables and files (`AWS_ENDPOINT_URL` for other services).
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import stat
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path, PosixPath
from typing import TYPE_CHECKING, Any

from indexer.errors import PictureError, SegsearchError
from indexer.library.paths import storable

if TYPE_CHECKING:
    from pyarrow import fs

_SCHEME = "s3:"
_URI = "s3://"
#: Seconds without an answer after which a connection, or a request, has failed.
_CONNECT_S, _REQUEST_S = 10, 60


def is_uri(location: str) -> bool:
    """Return whether a location is in an object store, not on the file system."""
    return location.startswith(_URI)


def as_path(location: str | Path) -> Path:
    """Return the path of a location on the file system or, for a URI, in the object store."""
    if isinstance(location, str) and is_uri(location):
        return S3Path(location)
    return Path(location) if isinstance(location, str) else location


def key(location: str) -> str:
    """Return "bucket/key" of a URI, as pyarrow's file systems want it."""
    return location.removeprefix(_URI).strip("/")


class S3Path(PosixPath):
    """A place in an object store, with those methods of a path that need no file system.

    Its text is the URI. What asks the service raises `OSError`, of which `FileNotFoundError` says
    that the bucket is there and answers, and nothing is in it at this place.
    """

    __slots__ = ()

    def __str__(self) -> str:
        """Return the URI; of what is relative to another place, the relative path."""
        parts = self.parts
        return _URI + "/".join(parts[1:]) if parts[:1] == (_SCHEME,) else "/".join(parts) or "."

    def __fspath__(self) -> str:
        return str(self)

    def __reduce__(self) -> tuple[type[S3Path], tuple[str, ...]]:
        return type(self), self.parts

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:  # noqa: ARG002
        """Ask what is here; the time is that of the last change."""
        place = key(str(self))
        if not place:  # the service itself
            return _stat_result(stat.S_IFDIR, 0, 0)
        info = _info(place)
        if info.type.name == "NotFound":
            bucket = self.parts[1]
            if place == bucket or _info(bucket).type.name == "NotFound":
                raise OSError(errno.EIO, f"there is no bucket {bucket} at this service")
            raise FileNotFoundError(errno.ENOENT, "there is no such object", str(self))
        mode = stat.S_IFDIR if info.type.name == "Directory" else stat.S_IFREG
        return _stat_result(mode, info.size or 0, info.mtime_ns or 0)

    def lstat(self) -> os.stat_result:
        """Ask what is here: there are no links."""
        return self.stat()

    def exists(self, *, follow_symlinks: bool = True) -> bool:  # noqa: ARG002
        """Say whether something is certainly here."""
        return self._mode() is not None

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:  # noqa: ARG002
        """Say whether this is certainly a folder."""
        return stat.S_ISDIR(self._mode() or 0)

    def is_file(self, *, follow_symlinks: bool = True) -> bool:  # noqa: ARG002
        """Say whether this is certainly an object."""
        return stat.S_ISREG(self._mode() or 0)

    def resolve(self, strict: bool = False) -> S3Path:  # noqa: ARG002
        """Return itself: there are no links."""
        return self

    def absolute(self) -> S3Path:
        """Return itself: every URI is absolute."""
        return self

    def expanduser(self) -> S3Path:
        """Return itself."""
        return self

    def entries(self) -> list[fs.FileInfo]:
        """Return what is in this folder, sorted by the bytes of the names."""
        from pyarrow import fs

        found = file_system().get_file_info(fs.FileSelector(key(str(self))))
        return sorted(found, key=lambda info: info.base_name.encode("utf-8", "surrogatepass"))

    def read_all(self, max_bytes: int) -> bytes:
        """Return all bytes of an object.

        Raises:
            PictureError: see `indexer.library.read`.
        """
        try:
            with file_system().open_input_file(key(str(self))) as file:
                size = file.size()
                if 0 < size <= max_bytes:
                    return bytes(file.read(size))
        except FileNotFoundError as error:
            raise PictureError("vanished", "the file is gone: run again", retryable=True) from error
        except OSError as error:
            message = f"it cannot be read ({reason(error)}): check the service and its permissions"
            raise PictureError("unreadable", message, retryable=True) from error
        if size == 0:
            raise PictureError("empty", "the file is empty: replace or remove it")
        message = f"the file has {size} bytes, the limit is {max_bytes}: make it smaller"
        raise PictureError("too_large", message)

    def _mode(self) -> int | None:
        with contextlib.suppress(OSError):
            return self.stat().st_mode
        return None


def reason(error: OSError) -> str:
    """Return in a line why the service said no."""
    return error.strerror or " ".join(str(error).split())[:300] or type(error).__name__


def walk(root: S3Path, exclude: Sequence[str]) -> Iterator[tuple[str, fs.FileInfo | OSError]]:
    """Walk through a folder as `indexer.library.scan` does through one on the file system.

    Yields:
        The storable path relative to the root, and what is there: an object, or why the folder
        could not be listed.
    """
    stack = [("", iter(root.entries()))]
    while stack:
        prefix, entries = stack[-1]
        info = next(entries, None)
        if info is None:
            stack.pop()
            continue
        name = storable(info.base_name)
        path = prefix + name
        hidden = name.startswith(".") or not name
        if hidden or any(fnmatchcase(path, p) or fnmatchcase(name, p) for p in exclude):
            continue
        if info.type.name != "Directory":
            yield path, info
            continue
        try:
            stack.append((f"{path}/", iter(S3Path(_URI + info.path).entries())))
        except OSError as error:
            yield path, error


@functools.cache
def file_system() -> fs.S3FileSystem:
    """Return the file system of the service that the environment names.

    Raises:
        SegsearchError: this pyarrow cannot speak S3.
    """
    try:
        from pyarrow import fs

        service = fs.S3FileSystem
    except ImportError as error:
        hint = "install pyarrow from its wheels"
        raise SegsearchError("this pyarrow was built without S3", hint) from error
    options: dict[str, Any] = {}
    if region := os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION"):
        options["region"] = region
    if url := os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL"):
        scheme, _, endpoint = url.rpartition("://")
        options |= {"scheme": scheme or "https", "endpoint_override": endpoint.rstrip("/")}
    return service(connect_timeout=_CONNECT_S, request_timeout=_REQUEST_S, **options)


def _info(place: str) -> fs.FileInfo:
    return file_system().get_file_info(place)


def _stat_result(mode: int, size: int, mtime_ns: int) -> os.stat_result:
    seconds = mtime_ns // 10**9
    fields = (mode, 0, 0, 0, 0, 0, size, seconds, seconds, seconds)
    return os.stat_result(fields, {"st_mtime_ns": mtime_ns})
