"""Globs with many wildcards, matched without ever going back."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence


class Automaton:
    """Follows all the ways to match a pattern at once, as the bits of one number.

    Bit i is set while the parts before the i-th have matched what was read so far; so each
    character costs the same, however many wildcards there are (Shift-And, Baeza-Yates and Gonnet
    1992).
    """

    def __init__(self, parts: Sequence[str], translated: Callable[[str], str]) -> None:
        """Compile a pattern.

        Args:
            parts: wildcards (`**/`, `**`, `*`), and pieces that a regular expression of fixed
                length stands for: `?`, classes, text.
            translated: returns that regular expression.
        """
        self._tests: list[Callable[[str], object]] = []
        self._stays: list[str] = []
        self._skips = 0
        self._leaps = 0
        for part in parts:
            self._add(part, translated)
        self._end = 1 << len(self._tests)
        self._moves: dict[str, tuple[int, int]] = {}

    def matches(self, path: str) -> bool:
        """Return whether the pattern matches a whole path."""
        state = self._skipped(1)
        for character in path:
            step, stay = self._moves_of(character)
            state = self._skipped(((state & step) << 1) | (state & stay))
            if not state:
                return False
        return bool(state & self._end)

    def _add(self, part: str, translated: Callable[[str], str]) -> None:
        at = 1 << len(self._tests)
        if part == "**/":  # nothing, or anything that ends with "/"
            self._leaps |= at
            self._skips |= at
            self._push(lambda _: False, "")
            self._push(lambda c: c == "/", "any")
        elif part in ("*", "**"):
            self._skips |= at
            self._push(lambda _: False, "any" if part == "**" else "name")
        elif translated(part) != re.escape(part):  # one character of several
            self._push(re.compile(translated(part), re.DOTALL).fullmatch, "")
        else:
            for letter in part:
                self._push(letter.__eq__, "")

    def _push(self, test: Callable[[str], object], stays: str) -> None:
        self._tests.append(test)
        self._stays.append(stays)

    def _moves_of(self, character: str) -> tuple[int, int]:
        """Return the bits from which a character leads on, and those at which it stays."""
        if character not in self._moves:
            step = sum(1 << i for i, test in enumerate(self._tests) if test(character))
            stay = sum(
                1 << i
                for i, stays in enumerate(self._stays)
                if stays == "any" or (stays == "name" and character != "/")
            )
            self._moves[character] = step, stay
        return self._moves[character]

    def _skipped(self, state: int) -> int:
        """Return a state with what wildcards that match nothing lead to."""
        while True:
            more = state | (state & self._skips) << 1 | (state & self._leaps) << 2
            if more == state:
                return state
            state = more
