"""How the API is served."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path

from indexer.errors import SegsearchError
from search.api.keys import NO_KEYS, Keys

_MIB = 2**20


@dataclass(frozen=True)
class Limits:
    """What a request may cost.

    Attributes:
        body_bytes: largest body, but for uploads.
        upload_bytes: largest body of an upload, its picture and the rest.
        upload_pixels: largest uploaded picture; looked at before it is decoded.
        at_once: requests in progress; more are told to come again (429).
        waiting_s: longest wait for the next piece of a body (408).
        seconds: longest time until an answer begins (504).
        uploads_bytes: memory for uploaded pictures; the oldest go first.
        upload_s: how long an upload is kept.
    """

    body_bytes: int = _MIB
    upload_bytes: int = 32 * _MIB
    upload_pixels: int = 64_000_000
    at_once: int = 64
    waiting_s: float = 10.0
    seconds: float = 60.0
    uploads_bytes: int = 512 * _MIB
    upload_s: float = 3600.0


@dataclass(frozen=True)
class Settings:
    """What is served, to whom.

    Attributes:
        index: a folder, or ``http(s)://host:port/name``; it need not be there yet.
        folders: what `POST /v1/index` indexes; empty is what the index follows already.
        profile: of a new index.
        device: where the models run.
        host: address that is listened on.
        port: likewise.
        names: further host names under which the server is known.
        keys: without any, everybody may do everything, which only a loopback address allows.
        origins: other sites whose pages may call the API (CORS).
        files: whether original files are handed out.
        links: whether files are read that only a link in the library leads to.
        limits: what a request may cost.
    """

    index: str
    folders: tuple[Path, ...] = ()
    profile: str | None = None
    device: str = "auto"
    host: str = "127.0.0.1"
    port: int = 8000
    names: tuple[str, ...] = ()
    keys: Keys = NO_KEYS
    origins: tuple[str, ...] = ()
    files: bool = True
    links: bool = False
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        if not self.keys and not is_loopback(self.host):
            raise SegsearchError(
                f"without API keys nobody but this machine may connect, and {self.host} is open",
                "set SEGSEARCH_ADMIN_KEY, give --keys FILE, or leave --host out",
            )


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches an address; a name other than localhost is none."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
