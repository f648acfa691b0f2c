"""API keys: who may read, and who may index.

Keys come from a file with lines of a role and a key (`admin 8f2c…`, `read 1b77…`), and from the
variables SEGSEARCH_ADMIN_KEY and SEGSEARCH_READ_KEY.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from indexer.errors import SegsearchError

Role = Literal["read", "admin"]
#: Where a key stands in a request, and a page's session.
KEY_HEADER, COOKIE = "X-API-Key", "segsearch_session"
#: A shorter key could be guessed.
LEAST_LENGTH = 16
#: How long a page stays logged in, seconds; logins that are remembered.
SESSION_S = 12 * 3600.0
_MOST_SESSIONS = 10_000


@dataclass(frozen=True)
class Keys:
    """Digests of the keys, each with its role; the keys themselves are not kept."""

    digests: tuple[tuple[bytes, Role], ...] = ()

    @classmethod
    def of(cls, pairs: Iterable[tuple[Role, str]]) -> Keys:
        """Return the keys with these roles.

        Raises:
            SegsearchError: a key is too short to be safe, or is not ASCII.
        """
        found = []
        for role, key in pairs:
            if len(key) < LEAST_LENGTH or not key.isascii() or not key.isprintable():
                raise SegsearchError(
                    f"a key for {role!r} has fewer than {LEAST_LENGTH} plain characters",
                    'make one: python -c "import secrets; print(secrets.token_urlsafe())"',
                )
            found.append((_digest(key), role))
        return cls(tuple(found))

    def role_of(self, key: str) -> Role | None:
        """Return the role of a key; every known key is compared, each in constant time."""
        given, found = _digest(key), None
        for digest, role in self.digests:
            if hmac.compare_digest(digest, given):
                found = role
        return found

    def __bool__(self) -> bool:
        return bool(self.digests)


NO_KEYS = Keys()


def read_keys(file: Path | None, environment: Mapping[str, str] = os.environ) -> Keys:
    """Return the keys of a file and of the environment.

    Raises:
        SegsearchError: the file cannot be read, or a line or key makes no sense.
    """
    named = [(role, environment.get(f"SEGSEARCH_{role.upper()}_KEY")) for role in get_args(Role)]
    pairs = [(role, key) for role, key in named if key]
    return Keys.of(pairs if file is None else [*pairs, *_lines(file)])


def _lines(file: Path) -> Iterable[tuple[Role, str]]:
    try:
        lines = file.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SegsearchError(
            f"cannot read the keys in {file}: {error}", "check the file"
        ) from error
    for number, line in enumerate(lines, start=1):
        words = line.split("#")[0].split()
        if not words:
            continue
        role = next((each for each in get_args(Role) if each == words[0]), None)
        if role is None or len(words) != len(("role", "key")):
            raise SegsearchError(
                f"line {number} of {file} is not a role and a key", "write: admin KEY, or read KEY"
            )
        yield role, words[1]


class Sessions:
    """Pages that have logged in: a browser cannot send a header with a picture's address."""

    def __init__(self) -> None:
        """Start with none."""
        self._lock = threading.Lock()
        self._roles: dict[str, tuple[Role, float]] = {}

    def begin(self, role: Role) -> str:
        """Return the token of a new session."""
        token = secrets.token_urlsafe(32)
        now = time.monotonic()
        with self._lock:
            self._roles = {t: v for t, v in self._roles.items() if v[1] > now}
            while len(self._roles) >= _MOST_SESSIONS:
                del self._roles[next(iter(self._roles))]
            self._roles[token] = role, now + SESSION_S
        return token

    def role_of(self, token: str) -> Role | None:
        """Return the role of a session that has not ended."""
        with self._lock:
            role, until = self._roles.get(token, (None, 0.0))
        return role if until > time.monotonic() else None

    def end(self, token: str) -> None:
        """Forget a session."""
        with self._lock:
            self._roles.pop(token, None)


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
