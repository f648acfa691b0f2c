"""Words for segments: lists of words, which word wins and how sure, what is written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from indexer.embedding import Embedder
from indexer.errors import QueryError
from indexer.index import Index
from indexer.profiles import load_profile, profile_data
from indexer.records import Vector
from search.labelling import (
    MOST_PHRASES,
    NOTHING,
    Labeller,
    Word,
    clear_labels,
    label_segments,
    make_labeller,
    offsets,
    parse_vocabulary,
    profile_vocabulary,
    read_vocabulary,
)
from tests.search.handmade import Made, add, clear, empty_index

BOX = (0, 0, 4, 4)
TWO = (Word("mug", ("mug",)), Word("tree", ("tree",)))


def test_a_list_of_words() -> None:
    text = """
    # what there is
    mug: cup,  beaker , # and so on
    red   mug
    tree
    mug
    Tree: oak
    """
    assert parse_vocabulary(text, "words.txt") == (
        Word("mug", ("mug", "cup", "beaker")),
        Word("red mug", ("red mug",)),
        Word("tree", ("tree", "oak")),
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# nothing\n\n", "words.txt has no words"),
        ("mug: cup\nglass: Cup", "words.txt, line 2: Cup means mug already"),
        ("mug\n: cup", "words.txt, line 2: no word before the colon"),
        ("x" * 201, "line 1: more than 200 characters: xxxx"),
        ("\n".join(map(str, range(MOST_PHRASES + 1))), f"more than {MOST_PHRASES}"),
    ],
)
def test_lists_that_make_no_sense(text: str, expected: str) -> None:
    with pytest.raises(QueryError, match=expected):
        parse_vocabulary(text, "words.txt")


def test_files_that_are_no_lists(tmp_path: Path) -> None:
    file = tmp_path / "words.txt"
    with pytest.raises(QueryError, match="No such file"):
        read_vocabulary(file)
    file.write_bytes(b"caf\xe9\n")
    with pytest.raises(QueryError, match="no text in UTF-8"):
        read_vocabulary(file)
    file.write_bytes(b"\xef\xbb\xbfmug\r\n")  # as some editors write it
    assert read_vocabulary(file) == (Word("mug", ("mug",)),)


def test_offsets_leave_out_what_a_phrase_wins() -> None:
    phrases = np.asarray([[1, 0], [0, 1]], dtype=np.float32)
    sample = np.asarray([[0.9, 0.1], [0.8, 0.3], [0.2, 0.7]], dtype=np.float32)
    assert offsets(phrases, sample).tolist() == pytest.approx([0.2, 0.2])
    assert offsets(phrases, sample[:0]).tolist() == [0, 0]
    assert offsets(phrases, sample[:1]).tolist() == pytest.approx([0, 0.1])  # all won: nothing


def labeller(scale: float = 1.0, offset: Vector | None = None) -> Labeller:
    """A word with two phrases, a word with one, and one phrase for nothing: the axes of space."""
    phrases = np.eye(4, dtype=np.float32)
    nothing = np.zeros(4, dtype=np.float32)
    return Labeller(
        ("a", "b"), phrases, np.asarray([0, 0, 1, 2]), nothing if offset is None else offset, scale
    )


def test_probabilities_are_a_softmax_whose_synonyms_are_added_up() -> None:
    vector = np.asarray([[0, 0, 1, 0]], dtype=np.float32)
    e = np.e
    np.testing.assert_allclose(
        labeller().probabilities(vector), [[2 / (3 + e), e / (3 + e), 1 / (3 + e)]]
    )


def test_what_is_nothing_or_unsure_has_no_label() -> None:
    vectors = np.eye(4, dtype=np.float32)
    named = labeller(scale=10.0)
    assert [each and each[0] for each in named.labels(vectors, 0.5)] == ["a", "a", "b", None]
    assert all(each is None or each[1] > 0.999 for each in named.labels(vectors, 0.5))
    assert labeller(scale=1.0).labels(vectors, 0.6) == [("a", 0.6502)] * 2 + [None, None]
    above = np.asarray([0, 0, 0.6, 0], dtype=np.float32)  # b is near to everything
    half = np.asarray([[0.5, 0, 0.8, 0]], dtype=np.float32)
    assert named.labels(half, 0.5) == [("b", 0.952)]
    assert labeller(10.0, above).labels(half, 0.5) == [("a", 0.9468)]


def test_a_word_of_the_list_is_not_nothing_too(embedder: Embedder) -> None:
    words = (Word("Pattern", ("pattern",)),)
    made = make_labeller(embedder, words, np.zeros((0, embedder.dim), dtype=np.float32))
    assert made.owners.tolist() == [0] + [1] * (len(NOTHING) - 1)
    assert made.scale == pytest.approx(embedder.upstream.logit_scale.exp().item())
    (vector,) = made.phrases[:1]
    np.testing.assert_allclose(vector, embedder.text("pattern"), atol=1e-6)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, embedder: Embedder) -> Iterator[Index]:
    folder = tmp_path_factory.mktemp("labelling") / "index"
    profile = profile_data(load_profile("demo"))
    with empty_index(folder, embedder.dim, embedder.vector_space(), profile=profile) as index:
        yield index


@pytest.fixture
def empty(shared: Index) -> Iterator[Index]:
    yield shared
    clear(shared)


@pytest.fixture
def index(empty: Index, tmp_path: Path, embedder: Embedder) -> Index:
    """Two mugs, a tree, a background, and a tree that a detector called a thing."""
    vectors = {word: embedder.text(word) for word in ("mug", "tree", "background")}
    for i, word in enumerate(["mug", "mug", "tree", "background"]):
        vector = vectors[word]
        add(empty, tmp_path, f"{i}-{word}.png", vector=vector, segments=[Made(BOX, vector)])
    found = Made(BOX, vectors["tree"], label="thing", source="detector")
    add(empty, tmp_path, "4-thing.png", vector=vectors["tree"], segments=[found])
    return empty


def labels(index: Index) -> dict[str, str | None]:
    return {
        image.paths[0].rpartition("/")[2]: segment.region.label
        for segment, image in index.all_segments()
    }


def test_segments_get_the_words_that_fit(index: Index, embedder: Embedder) -> None:
    steps: list[tuple[int, int]] = []
    named = label_segments(index, embedder, TWO, progress=lambda *step: steps.append(step))
    assert (named.counts, named.unlabelled) == ({"mug": 2, "tree": 1}, 1)
    assert (named.detected, named.changed, steps) == (1, 3, [(4, 4)])
    assert labels(index) == {
        "0-mug.png": "mug",
        "1-mug.png": "mug",
        "2-tree.png": "tree",
        "3-background.png": None,
        "4-thing.png": "thing",
    }
    sources = {s.region.label: s.region.label_source for s, _ in index.all_segments()}
    assert sources == {
        "mug": "vocabulary", "tree": "vocabulary", None: None, "thing": "detector"
    }  # fmt: skip
    assert all((s.region.label_score or 1) >= 0.4 for s, _ in index.all_segments())


def test_a_second_list_replaces_the_first(index: Index, embedder: Embedder) -> None:
    label_segments(index, embedder, TWO)
    assert label_segments(index, embedder, TWO).changed == 0
    named = label_segments(index, embedder, [Word("plant", ("plant", "tree"))])
    assert labels(index)["2-tree.png"] == "plant"
    assert "tree" not in labels(index).values()
    assert named.counts["plant"] + named.unlabelled == 4


def test_nothing_is_written_where_only_counts_are_wanted(index: Index, embedder: Embedder) -> None:
    named = label_segments(index, embedder, TWO, write=False)
    assert (named.counts, named.changed) == ({"mug": 2, "tree": 1}, 3)
    assert set(labels(index).values()) == {None, "thing"}


def test_a_word_that_no_segment_gets_is_counted(index: Index, embedder: Embedder) -> None:
    words = (Word("car", ("car",)), *TWO)
    assert label_segments(index, embedder, words).counts == {"mug": 2, "tree": 1, "car": 0}


def test_a_detectors_labels_survive_a_clearing(index: Index, embedder: Embedder) -> None:
    label_segments(index, embedder, TWO)
    assert clear_labels(index, write=False) == 3
    assert labels(index)["0-mug.png"] == "mug"
    assert clear_labels(index) == 3
    assert set(labels(index).values()) == {None, "thing"}
    assert clear_labels(index) == 0


def test_a_word_that_most_segments_show_still_wins(
    empty: Index, tmp_path: Path, embedder: Embedder
) -> None:
    """The mean of a word's scores would be its own score here."""
    mug, tree = embedder.text("mug"), embedder.text("tree")
    segments = [Made(BOX, mug)] * 9 + [Made(BOX, tree)]
    add(empty, tmp_path, "a.png", vector=mug, segments=segments)
    assert label_segments(empty, embedder, TWO).counts == {"mug": 9, "tree": 1}


def test_an_empty_index(empty: Index, embedder: Embedder) -> None:
    named = label_segments(empty, embedder, TWO)
    assert (named.counts, named.unlabelled, named.changed) == ({"mug": 0, "tree": 0}, 0, 0)


def test_the_list_of_a_profile(empty: Index) -> None:
    assert {"mug", "car", "red"} <= {
        word.name for word in read_vocabulary(profile_vocabulary(empty))
    }
    clip = empty.recipe.provenance["profile"]["clip"]
    packaged, clip["vocabulary"] = clip["vocabulary"], "nowhere.txt"
    with pytest.raises(QueryError, match=r"no vocabulary 'nowhere\.txt'"):
        profile_vocabulary(empty)
    clip["vocabulary"] = packaged
