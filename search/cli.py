"""The `search` command, and `segsearch`, which has all commands."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from indexer import check_cli, console, malloc, models_cli, optimize_cli, transfer_cli
from indexer import cli as indexer_cli
from indexer.console import Format
from indexer.progress import Progress
from search.commands import eval as eval_cli
from search.commands import export as export_cli
from search.commands import find as find_cli
from search.commands import library as library_cli
from search.commands import segment as segment_cli
from search.commands import serve as serve_cli

if TYPE_CHECKING:
    from search.hits import Hit

search = typer.Typer(
    help="Find objects in an index.",
    rich_markup_mode=None,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    epilog=console.EPILOG,
)
for command in (find_cli.text, find_cli.image, find_cli.segment, find_cli.like, find_cli.scene):
    search.command()(command)
search.command()(eval_cli.eval)
search.command()(serve_cli.serve)


def demo(
    folder: Annotated[Path, typer.Argument(help="Where everything goes.")] = Path("segsearch-demo"),
    *,
    photos: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Use these pictures, not drawn ones.")
    ] = None,
) -> None:
    """Draw pictures, index them with the demo models, search them, and show the hits.

    \b
    Examples:
      segsearch demo
      segsearch demo ./out --photos ./photos
    """
    from search.demo import run_demo

    malloc.keep_freed_memory()

    def show(title: str, hits: Sequence[Hit]) -> None:
        console.write(f"\nMost like {title}:")
        if hits:
            find_cli.write_hits(hits, Format.table, "segment")
        else:
            console.write("nothing like that here")

    sheets = run_demo(folder, photos, Progress(quiet=False), show)
    console.write("")
    for sheet in sheets:
        console.write(f"open {sheet}")
    console.say(
        "The demo models only know drawn shapes. To find what is in photographs, use real ones: "
        "index FOLDER --profile balanced"
    )


def segsearch() -> typer.Typer:
    """Return the command line with all commands."""
    app = typer.Typer(
        help="Find objects, not just photos.",
        rich_markup_mode=None,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        epilog=console.EPILOG,
    )
    app.command()(indexer_cli.index)
    app.command()(indexer_cli.status)
    app.command()(indexer_cli.forget)
    app.command()(check_cli.check)
    app.command()(optimize_cli.optimize)
    app.command()(transfer_cli.transfer)
    app.add_typer(models_cli.models, name="models")
    app.command()(segment_cli.segment)
    app.command()(library_cli.label)
    app.command()(library_cli.facets)
    app.command()(library_cli.duplicates)
    app.command()(export_cli.export)
    app.command()(demo)
    app.add_typer(search, name="search")
    return app


def search_main() -> None:
    """Run the `search` command."""
    console.run(search)


def main() -> None:
    """Run the `segsearch` command."""
    console.run(segsearch())
