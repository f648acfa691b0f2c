"""What a detector said about segments, found again: an index whose segments have labels."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from indexer.errors import QueryError
from indexer.recipe import recipe_from
from indexer.store import open_store
from indexer.store.base import KINDS, VECTOR_KINDS
from search import Filters, Searcher, cli
from search.export.export import save
from search.hits import Hit
from search.ranking import UNCUT

LABELS: list[tuple[str | None, float | None]] = [
    ("mug", 0.9),
    ("mug", 0.4),
    ("Mug <big>", 0.6),
    ("tree", None),
    (None, 0.95),
]


@pytest.fixture(scope="module")
def labelled(where: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A copy of the library's index in which five segments have labels."""
    copy = str(tmp_path_factory.mktemp("labelled") / "index")
    with (
        contextlib.closing(open_store(where, create_ok=False)) as old,
        contextlib.closing(open_store(copy, create_ok=True)) as new,
    ):
        plain = old.recipe()
        assert plain is not None
        new.create(plain, recipe_from(plain, where).dim)
        for kind in KINDS:
            points = old.scroll(kind, limit=1000, vectors=kind in VECTOR_KINDS).points
            if kind == "segments":
                for point, (label, score) in zip(points, LABELS, strict=False):
                    point.payload.update(label=label, label_score=score)
            new.upsert(kind, points)
    return copy


@pytest.fixture(scope="module")
def searching(labelled: str) -> Iterator[Searcher]:
    with Searcher(labelled) as searcher:
        yield searcher


def said(hits: Sequence[Hit]) -> set[tuple[object, object]]:
    return {(plain["label"], plain["label_score"]) for plain in (hit.to_plain() for hit in hits)}


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (Filters(label="mug"), {("mug", 0.9), ("mug", 0.4)}),
        (Filters(label=["tree", "Mug <big>"]), {("tree", None), ("Mug <big>", 0.6)}),
        (Filters(label="MUG"), set()),
        (Filters(label="mu"), set()),
        (Filters(min_label_score=0.6), {("mug", 0.9), ("Mug <big>", 0.6), (None, 0.95)}),
        (Filters(label=("mug", "tree"), min_label_score=0.5), {("mug", 0.9)}),
        (Filters(label="mug", max_area=0.0), set()),
    ],
)
def test_hits_have_one_of_the_labels(
    searching: Searcher, filters: Filters, expected: set[tuple[object, object]]
) -> None:
    hits = searching.text("anything", filters=filters, ranking=UNCUT)
    assert said(hits) == expected
    assert len(hits) == len(expected)


def test_without_a_filter_all_are_found(searching: Searcher) -> None:
    hits = searching.text("anything", limit=1000, ranking=UNCUT)
    assert said(hits) == {*LABELS, (None, None)}


def test_the_contact_sheet_shows_them(searching: Searcher, tmp_path: Path) -> None:
    save(
        searching.text("x", filters=Filters(label=["Mug <big>", "tree"]), ranking=UNCUT),
        tmp_path,
        "x",
    )
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert '<div class="facts">Mug &lt;big&gt; 0.60, ' in page
    assert '<div class="facts">tree, ' in page


def test_the_options(
    labelled: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*arguments: str) -> tuple[int, str, str]:
        place = ("--index", labelled, "--format", "json", "--all", "--nested")
        monkeypatch.setattr("sys.argv", ["search", *arguments, *place])
        with pytest.raises(SystemExit) as ended:
            cli.search_main()
        written = capsys.readouterr()
        return int(ended.value.code or 0), written.out, written.err

    both = ("--label", "mug", "--label", "tree")
    _, found, _ = run("text", "x", *both)
    hits = json.loads(found)
    assert sorted(hit["label"] for hit in hits) == ["mug", "mug", "tree"]
    (tree,) = [hit for hit in hits if hit["label"] == "tree"]
    sure = ("--label", "mug", "--min-label-score", "0.5")
    for query in (("text", "x"), ("image", tree["path"]), ("segment", tree["segment_id"])):
        code, found, _ = run(*query, *sure)
        assert code == 0
        assert [hit["label_score"] for hit in json.loads(found)] == [0.9]
    for query in (("text", "x"), ("image", tree["path"])):
        for narrow in (("--label", "mug"), ("--min-label-score", "0"), ("--min-area", "0")):
            code, found, error = run(*query, *narrow, "--by", "image")
            assert (code, found) == (1, "")
            assert "whole pictures have no" in error
    assert run("text", "x", "--min-label-score", "2")[0] == 2


def test_whole_pictures_have_no_label(searching: Searcher) -> None:
    for filters in (Filters(label="mug"), Filters(min_label_score=0.5)):
        with pytest.raises(QueryError, match="whole pictures have no label to filter by"):
            searching.text("x", filters=filters, by="image", ranking=UNCUT)
