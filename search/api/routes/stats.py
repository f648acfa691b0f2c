"""`/v1/stats` and `/v1/facets`: what there is, and how many of each."""

from __future__ import annotations

import contextlib
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field

from indexer.errors import IndexNotFound
from search.api import questions, schemas
from search.api.library import Opened
from search.api.problems import errors
from search.api.routes.indexing import plain
from search.api.state import Caller, Shared
from search.facets import By, Facet

router = APIRouter(prefix="/v1", tags=["stats"])
_DEFAULT: list[By] = ["label", "format", "camera", "year", "folder"]


class FacetQuery(schemas.FiltersIn):
    """What is counted, of what the filters leave; `limit` values of each."""

    by: Annotated[list[By], Field(max_length=7)] = _DEFAULT
    limit: Annotated[int, Field(ge=1, le=1000)] = 30


@router.get("/stats", responses=errors("unavailable"))
def stats(state: Shared, role: Caller) -> schemas.Stats:
    """Say what the index holds and what the caller may do."""
    access = schemas.Access(role=role, files=state.settings.files, can_index=role == "admin")
    holds = schemas.Holdings(exists=False)
    with contextlib.suppress(IndexNotFound):
        holds = _holdings(state.library.opened())
    run = plain(state.runs.current, role)
    return schemas.Stats(**dict(holds), access=access, run=run, version=version("segsearch"))


def _holdings(opened: Opened) -> schemas.Holdings:
    index = opened.searcher.index
    return schemas.Holdings(
        exists=True,
        **asdict(index.status()),
        size_bytes=index.size_bytes(),
        roots=opened.places.names,
        clip=index.recipe.vector_space["model"],
        sam2=_shown(index.recipe.segmentation["model"]),
    )


def _shown(model: str) -> str:
    """Return a model's name; of a configuration's path, which nobody else needs, the file's."""
    return Path(model).name if model.endswith((".yaml", ".yml")) else model


@router.get("/facets", responses=errors("invalid-request", "no-index", "unavailable"))
def facets(asked: Annotated[FacetQuery, Query()], state: Shared) -> schemas.Facets:
    """Count the values of properties, of what the filters leave, most first."""
    opened = state.library.opened()
    where = questions.filters(asked, opened.places)
    found = [opened.searcher.facet(by, where) for by in dict.fromkeys(asked.by)]
    return schemas.Facets(facets=[_facet(each, opened, asked.limit) for each in found])


def _facet(given: Facet, opened: Opened, limit: int) -> schemas.Facet:
    counts = list(given.counts.items())
    if given.by == "folder":
        counts = [(opened.places.folder(folder), count) for folder, count in counts]
    values = [schemas.FacetValue(value=value, count=count) for value, count in counts[:limit]]
    return schemas.Facet(
        by=given.by, of=given.of, values=values, without=given.without, more=len(counts) > limit
    )
