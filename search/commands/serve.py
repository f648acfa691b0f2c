"""`search serve`: the API and the page."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from indexer import console, malloc
from indexer.console import IndexOption
from indexer.errors import IndexNotFound, SegsearchError
from search.commands.options import DeviceOptions, with_bags

if TYPE_CHECKING:
    import asyncio

    from fastapi import FastAPI

    from search.api.settings import Settings

#: Seconds that requests in progress have when the server is told to end.
_GRACE_S = 5
#: Seconds in which a connection has to send a request, and the next one.
_PATIENCE_S = 15
_BACKLOG = 256
_MIB = 2**20

FoldersArgument = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="PATH",
        help="Folders that can be indexed from the page; without any, the index's own.",
        show_default=False,
    ),
]


@dataclass(frozen=True)
class ServeOptions:
    """What is served to whom; see `search.api.settings.Settings`."""

    host: Annotated[str, typer.Option(help="Address to listen on; others need API keys.")] = (
        "127.0.0.1"
    )
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 is any free one.")] = 8000
    name: Annotated[
        list[str] | None,
        typer.Option("--name", metavar="HOST", help="A host name of this server; repeatable."),
    ] = None
    keys: Annotated[
        Path | None,
        typer.Option(
            envvar="SEGSEARCH_KEYS", metavar="FILE", help="Lines of `admin KEY` and `read KEY`."
        ),
    ] = None
    origin: Annotated[
        list[str] | None,
        typer.Option("--origin", metavar="URL", help="A site that may call the API; repeatable."),
    ] = None
    files: Annotated[bool, typer.Option(help="Hand out the original files.")] = True
    links: Annotated[
        bool, typer.Option(help="Read files outside of the library that links in it lead to.")
    ] = False
    max_upload: Annotated[
        int, typer.Option(min=1, max=1024, metavar="MB", help="Largest uploaded picture.")
    ] = 32
    profile: Annotated[
        str | None,
        typer.Option(
            help="Of a new index: a packaged profile, or a YAML file.", show_default="balanced"
        ),
    ] = None
    access_log: Annotated[bool, typer.Option(help="Write a line for each request.")] = True

    def settings(self, index: str, folders: Sequence[Path], device: str) -> Settings:
        """Return them as the server takes them.

        Raises:
            SegsearchError: a folder is not there, keys are missing or make no sense.
        """
        from indexer.store import is_server
        from search.api.keys import read_keys
        from search.api.settings import Limits, Settings

        return Settings(
            index=index if is_server(index) else str(Path(index).expanduser().resolve()),
            folders=tuple(map(_existing, folders)),
            profile=self.profile,
            device=device,
            host=self.host,
            port=self.port,
            names=tuple(self.name or ()),
            keys=read_keys(self.keys),
            origins=tuple(each.rstrip("/") for each in self.origin or ()),
            files=self.files,
            links=self.links,
            limits=Limits(upload_bytes=self.max_upload * _MIB),
        )


@with_bags
def serve(
    folders: FoldersArgument = None,
    *,
    index_: IndexOption,
    how: ServeOptions,
    device: DeviceOptions,
) -> None:
    """Serve the index: a page to search with, and an HTTP API (see /docs).

    Only this machine can connect, and may do everything. As soon as it listens elsewhere, API keys
    are required: from --keys, or from SEGSEARCH_ADMIN_KEY and SEGSEARCH_READ_KEY.

    \b
    Examples:
      search serve --index ./idx
      search serve ./photos --index ./idx --profile demo --port 8080
      search serve --index ./idx --host 0.0.0.0 --keys keys.txt --name photos.example.org
    """
    # before numpy is there: its threads wait for work spinning, on cores that searches need
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    settings = how.settings(index_, folders or (), device.device)
    malloc.keep_freed_memory()
    level = logging.INFO if how.access_log else logging.WARNING
    logging.getLogger("search.api").setLevel(level)
    run(settings)


def run(settings: Settings) -> None:
    """Serve until Ctrl-C, SIGTERM or SIGHUP; what is in progress then is finished.

    Raises:
        SegsearchError: the address is in use, or cannot be listened on; the index cannot be opened,
            or its models cannot be loaded.
    """
    with _listener(settings.host, settings.port) as listener:
        console.say(f"loading the models of {settings.index}")
        from search.api.app import create_app

        app = create_app(settings)
        with contextlib.suppress(IndexNotFound):  # the page says how to fill it
            app.state.segsearch.library.load_models()
        address = listener.getsockname()
        name = f"[{address[0]}]" if ":" in address[0] else address[0]
        _serve(app, listener, f"http://{name}:{address[1]}")


def _serve(app: FastAPI, listener: socket.socket, url: str) -> None:
    import uvicorn

    end: Callable[[], None] = app.state.segsearch.end

    class Server(uvicorn.Server):
        """Ends what would never end by itself, and then as always, with exit code 0."""

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                console.say(f"serving at {url} (API: {url}/docs); Ctrl-C ends it")

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
            end()
            self.force_exit = self.should_exit and sig == signal.SIGINT
            self.should_exit = True

    config = uvicorn.Config(
        app,
        http=patient(),
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=_GRACE_S,
        lifespan="on",
    )
    server = Server(config)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as with nohup
        signal.signal(signal.SIGHUP, server.handle_exit)  # uvicorn knows only the other two
    server.run(sockets=[listener])
    if not server.started:
        raise SegsearchError("the server did not start", "its log says why")


def patient(patience_s: float = _PATIENCE_S) -> type[asyncio.Protocol]:
    """Return uvicorn's protocol for HTTP, with an end to its patience: it would wait for ever.

    Args:
        patience_s: seconds in which a connection has to send a request, and the next one.
    """
    import asyncio

    from uvicorn.protocols.http.h11_impl import H11Protocol

    class Patient(H11Protocol):
        """Closes a connection on which no request is, or has begun to be, answered for a while."""

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._look(None, is_first=True)

        def _look(self, before: object, *, is_first: bool = False) -> None:
            if self.transport.is_closing():
                return
            is_idle = self.cycle is None or self.cycle.response_complete
            if is_idle and self.cycle is before and not is_first:
                self.transport.close()
                return
            asyncio.get_running_loop().call_later(patience_s, self._look, self.cycle)

    return Patient


def _listener(host: str, port: int) -> socket.socket:
    """Bind an address, before anything takes long."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
        # For its connections, too: asyncio does not see that they are TCP and leaves Nagle's
        # algorithm on, with which every answer takes 40 ms more.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except OSError as error:
        raise SegsearchError(
            f"cannot listen on {host}:{port}: {error.strerror}", "give another --port or --host"
        ) from error
    return listener


def _existing(folder: Path) -> Path:
    path = folder.expanduser().resolve()
    if not path.exists():
        raise SegsearchError(f"there is no folder {folder}", "check the spelling")
    return path
