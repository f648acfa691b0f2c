"""The edge between the commands and the terminal: output, errors, exit codes.

Data goes to stdout, everything else to stderr. Exit codes: 0 done, 1 failed, 2 wrong usage,
3 done but some files failed, 130 interrupted. A stderr that is gone is no reason to end; without
its stdout, a command ends with 1.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer

from indexer.errors import SegsearchError

EXIT_FAILED = 1
EXIT_SOME_FAILED = 3
EXIT_INTERRUPTED = 130
#: Why nothing is to be said of output that nobody reads: head or less has ended, the terminal has.
_READER_IS_GONE = (errno.EPIPE, errno.EIO)
#: Seconds between two lines of a `StatusLine`.
_TERMINAL_PAUSE_S, _LOG_PAUSE_S = 0.2, 10.0
EPILOG = "With --debug, errors come with a traceback."


class Format(StrEnum):
    """How data is written to stdout."""

    table = "table"
    json = "json"
    jsonl = "jsonl"


def default_index() -> str:
    """Return the index in the user's data folder."""
    from platformdirs import user_data_path

    return str(user_data_path("segsearch") / "index")


IndexOption = Annotated[
    str,
    typer.Option(
        "--index",
        envvar="SEGSEARCH_INDEX",
        default_factory=default_index,
        show_default="in your data folder",
        metavar="FOLDER|URL",
        help="The index: a folder, or http(s)://host:port/name of a Qdrant server.",
    ),
]
DeviceOption = Annotated[
    str, typer.Option(metavar="auto|cpu|cuda|mps", help="Where the models run.")
]
FormatOption = Annotated[Format, typer.Option("--format", help="How to print the results.")]


def say(text: str) -> None:
    """Write a line to stderr, if somebody can still see it."""
    _tell(text + "\n")


def _tell(text: str) -> None:
    # the terminal was closed, or the disk of the log is full: what is done matters more
    with contextlib.suppress(OSError):
        sys.stderr.write(text)
        sys.stderr.flush()


class StatusLine:
    """One line on stderr about long work: rewritten on a terminal, now and then anew in a log."""

    def __init__(self) -> None:
        """Begin with nothing written; the first line is due after the usual pause."""
        self._terminal = sys.stderr.isatty()
        self._pause_s = _TERMINAL_PAUSE_S if self._terminal else _LOG_PAUSE_S
        self._last = time.monotonic()

    def show(self, line: Callable[[], str]) -> None:
        """Write a line, if the last one is long enough ago; only then is it made."""
        now = time.monotonic()
        if now - self._last < self._pause_s:
            return
        self._last = now
        if not self._terminal:
            say(line())
            return
        width = shutil.get_terminal_size().columns - 1
        _tell("\r\x1b[K" + one_line(line())[:width])

    def end(self) -> None:
        """Leave an empty line on a terminal, for what follows."""
        if self._terminal:
            _tell("\r\x1b[K")


def write(text: str) -> None:
    """Write a line of data to stdout; what the terminal cannot show is escaped."""
    encoding = sys.stdout.encoding or "utf-8"
    with _keeping_output():
        sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")


def write_out() -> None:
    """Hand on now what `write` may still hold."""
    with _keeping_output():
        sys.stdout.flush()


class _OutputLost(Exception):
    """What was written to stdout got nowhere."""

    def __init__(self, why: OSError) -> None:
        super().__init__(why)
        self.why = why


@contextlib.contextmanager
def _keeping_output() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _OutputLost(error) from error


def write_rows(
    rows: Sequence[Mapping[str, Any]], output: Format, columns: Mapping[str, str]
) -> None:
    """Write records as JSON (whole), JSON lines (whole), or a table of some columns.

    Args:
        rows: plain data.
        output: which of them.
        columns: heading → key of the row, for the table.
    """
    if output is Format.json:
        write(json.dumps(rows, indent=2))
    elif output is Format.jsonl:
        for row in rows:
            write(json.dumps(row))
    else:
        _write_table([[_cell(row[key]) for key in columns.values()] for row in rows], list(columns))


def run(app: typer.Typer) -> None:
    """Run a command line: errors of ours become a message and an exit code."""
    debug = "--debug" in sys.argv
    sys.argv = [argument for argument in sys.argv if argument != "--debug"]
    _complete_streams()
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    logging.getLogger("huggingface_hub").propagate = False  # it has a handler of its own
    code: int | str | None = 0
    lost: OSError | None = None
    try:
        app()
    except SystemExit as end:
        code = end.code
    except _OutputLost as error:
        lost = error.why
    except SegsearchError as error:
        if debug:
            raise
        say(f"error: {error.message}")
        if error.hint:
            say(f"  → {error.hint}")
        code = EXIT_FAILED
    lost = _let_go(sys.stdout) or lost
    if lost is not None:
        code = code or EXIT_FAILED
        if lost.errno not in _READER_IS_GONE:
            say(f"error: the output could not be written: {lost.strerror}")
    _let_go(sys.stderr)
    sys.exit(code)


def _complete_streams() -> None:
    """Let standard streams that are closed lead nowhere; the next open file would be in place."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: PTH123, SIM115


def _let_go(stream: TextIO) -> OSError | None:
    """Write out what a stream holds; if that fails return why, and forget it."""
    try:
        stream.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        return error
    return None


def readable(path: str | Path) -> str:
    """Return a path as text that can be printed and put into JSON, whatever bytes it has."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def short_path(path: Path) -> str:
    """Return a path for a person: relative to the working directory where it lies below it."""
    here = Path.cwd()
    return readable(path.relative_to(here) if path.is_relative_to(here) else path)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ",".join(str(item) for item in value)
    return "" if value is None else one_line(str(value))


def one_line(text: str) -> str:
    """Escape what would break a table: line ends, tabs, terminal controls."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


def _write_table(rows: Iterable[Sequence[str]], headings: Sequence[str]) -> None:
    lines = [headings, *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(headings))]
    for line in lines:
        write(
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        )
