"""The commands about models: `segsearch models` and `segsearch models fetch`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from indexer import console
from indexer.console import Format, FormatOption

if TYPE_CHECKING:
    from indexer.weights import Weights

_COLUMNS = {
    "profile": "profile",
    "download": "download",
    "on disk": "on_disk",
    "SAM 2": "sam2",
    "CLIP": "clip",
    "licences": "licences",
    "for": "purpose",
}
_PATH_COLUMNS = {"model": "model", "size": "size", "path": "path"}

ProfileArgument = Annotated[
    str, typer.Argument(help="A packaged profile, or the path of a YAML file.")
]

models = typer.Typer(rich_markup_mode=None, add_completion=False, pretty_exceptions_enable=False)


@models.callback(invoke_without_command=True, epilog=console.EPILOG)
def listing(context: typer.Context, *, output: FormatOption = Format.table) -> None:
    """Show the packaged profiles: their models, what is to be downloaded, what is on this disk.

    Weights that are missing are downloaded when they are first needed, or by `models fetch`.

    \b
    Examples:
      segsearch models
      segsearch models --format json
      segsearch models fetch balanced
    """
    if context.invoked_subcommand is not None:
        return
    from indexer.profiles import load_profile, profile_names

    rows = []
    for name in profile_names():
        profile = load_profile(name)
        rows.append(_row(name, profile.sam2.model, profile.clip.model, _needed(profile)))
    console.write_rows(
        [_for_people(row) for row in rows] if output is Format.table else rows, output, _COLUMNS
    )


@models.command(epilog=console.EPILOG)
def fetch(profile: ProfileArgument, *, output: FormatOption = Format.table) -> None:
    """Download the weights that a profile needs, so that it works offline from then on.

    What is on this disk already is not downloaded again. Weights go into Hugging Face's cache.

    \b
    Examples:
      segsearch models fetch balanced
      segsearch models fetch ./mine.yaml
    """
    from indexer import weights
    from indexer.models import quiet_downloads
    from indexer.profiles import load_profile

    chosen = load_profile(profile)
    if output is not Format.table:
        quiet_downloads()
    missing = [found for found in weights.needed(chosen) if found.path is None]
    if output is Format.table:
        for found in missing:
            size = "" if found.size_bytes is None else f", about {_size(found.size_bytes)}"
            console.say(f"fetching {found.source}{size}")
        if not missing:
            console.say(f"nothing to fetch: all that {profile} needs is on this disk")
    rows = [_plain(found) for found in weights.fetch(chosen)]
    if output is Format.table:
        rows = [{**row, "size": _size(row["size_bytes"] or 0)} for row in rows]
    console.write_rows(rows, output, _PATH_COLUMNS)


def _needed(profile: Any) -> Sequence[Weights]:  # noqa: ANN401 - keeps `--help` light
    from indexer.weights import needed

    return needed(profile)


def _row(name: str, sam2: str, clip: str, needed: Sequence[Weights]) -> dict[str, Any]:
    missing = [weights for weights in needed if weights.path is None]
    return {
        "profile": name,
        "purpose": _purpose(name),
        "sam2": sam2,
        "clip": clip,
        "download_bytes": sum(weights.size_bytes or 0 for weights in missing),
        "on_disk": not missing,
        "licences": sorted({weights.licence for weights in needed if weights.licence}),
        "weights": [_plain(weights) for weights in needed],
    }


def _purpose(name: str) -> str:
    """Return what a packaged profile is for: the comment that its file begins with."""
    from indexer.profiles import configs_dir

    with (configs_dir() / f"{name}.yaml").open(encoding="utf-8") as file:
        return file.readline().removeprefix("#").strip()


def _plain(weights: Weights) -> dict[str, Any]:
    path = None if weights.path is None else console.readable(weights.path)
    return {**dataclasses.asdict(weights), "path": path}


def _for_people(row: dict[str, Any]) -> dict[str, Any]:
    here = sum(weights["path"] is not None for weights in row["weights"])
    partly = f"{here} of {len(row['weights'])}"
    return {
        **row,
        "download": f"about {_size(row['download_bytes'])}" if row["download_bytes"] else "nothing",
        "on_disk": "yes" if row["on_disk"] else partly if here else "no",
    }


def _size(count: int) -> str:
    """Return a number of bytes for a person: `156 MB`, `2.6 GB`."""
    megabytes = count / 1e6
    return f"{megabytes:.0f} MB" if megabytes < 1000 else f"{megabytes / 1000:.1f} GB"  # noqa: PLR2004
