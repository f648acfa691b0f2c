"""Names for segments: the words of a user, compared with the vectors that are stored.

No picture is read again. Three things make the words of a vocabulary comparable:

- *Offsets.* CLIP likes some words whatever it is shown. From each phrase's scores its mean over
  those sampled segments is taken on which it is not the highest; a plain mean would take most
  from a word that much of the library shows.
- *Nothing.* A few general words compete, and what they win stays without a label.
- *Probability.* A softmax with CLIP's own scale over all phrases; what the phrases of one word
  have is added up. It depends on the vocabulary: the more words are alike, the less is any sure.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from indexer.errors import QueryError
from indexer.index import Index
from indexer.models import find_file
from indexer.profiles import profile_from
from indexer.records import Region, Segment, Vector
from indexer.store.base import EVERYTHING, Filter, Match

if TYPE_CHECKING:
    from indexer.embedding import Embedder

Label = tuple[str, float]
Progress = Callable[[int, int], None]

#: `Region.label_source` of the labels given here.
SOURCE = "vocabulary"
#: How sure a label is at least, unless told: of the drawn scenes' objects 79 % get a label with
#: the demo models, of those 91 % the right one, and 99 % of the background gets none.
MIN_SCORE = 0.4
#: Most words and phrases in a vocabulary.
MOST_PHRASES = 5000
#: What is seen where none of the words is.
NOTHING = (
    "background", "surface", "texture", "pattern", "shadow", "object", "thing", "part",
)  # fmt: skip
#: Segments from which the offsets are taken; ids are digests, so the first ones are a sample.
_SAMPLE = 4096
#: Segments that are named at once.
_PAGE = 1024
#: Decimals of a stored score, so that a label that stays is not written again.
_DECIMALS = 4
#: Longest phrase, characters: CLIP reads 77 tokens and would silently drop the rest.
_LONGEST = 200

_NOT_DETECTED = Filter(must_not=(Match("label_source", ("detector",)),))


def _quietly(done: int, total: int) -> None:
    """Show no progress."""


@dataclass(frozen=True)
class Word:
    """A label and what it is known by.

    Attributes:
        name: the label.
        phrases: any of them means it; in small letters, the name is one of them.
    """

    name: str
    phrases: tuple[str, ...]


@dataclass(frozen=True)
class Named:
    """What became of the segments of an index.

    Attributes:
        counts: word → segments that have it as their label, most first, then in the
            vocabulary's order; a word that no segment got is there with 0.
        unlabelled: segments left without a label.
        detected: segments that keep the label of a detector.
        changed: segments whose label or score is not what it was.
    """

    counts: dict[str, int]
    unlabelled: int
    detected: int
    changed: int


@dataclass(frozen=True, eq=False)
class Labeller:
    """Names vectors.

    Attributes:
        names: n words.
        phrases: the vectors of all phrases and of `NOTHING`, float32, shape (m, dim), rows of
            length 1.
        owners: position in `names` of each phrase's word, int, shape (m,), rising; n for those
            of `NOTHING`.
        offsets: what each phrase's cosines are above the others' whatever is shown, shape (m,).
        scale: CLIP's factor for cosines before a softmax.
    """

    names: tuple[str, ...]
    phrases: Vector
    owners: NDArray[np.int64]
    offsets: Vector
    scale: float

    def probabilities(self, vectors: Vector) -> NDArray[np.float64]:
        """Return how sure each word is for each vector.

        Args:
            vectors: float32, shape (k, dim), rows of length 1.

        Returns:
            Shape (k, n + 1), rows with the sum 1; the last column is none of the words.
        """
        logits = self.scale * (vectors @ self.phrases.T - self.offsets).astype(np.float64)
        each = np.exp(logits - logits.max(axis=1, keepdims=True))
        starts = np.flatnonzero(np.diff(self.owners, prepend=-1))
        words: NDArray[np.float64] = np.add.reduceat(each, starts, axis=1)
        return np.asarray(words / words.sum(axis=1, keepdims=True))

    def labels(self, vectors: Vector, min_score: float = MIN_SCORE) -> list[Label | None]:
        """Return the label of each vector with its score, or None.

        Args:
            vectors: see `probabilities`.
            min_score: how sure a label is at least, 0 to 1.
        """
        sure = self.probabilities(vectors)
        best = sure.argmax(axis=1)
        return [
            (self.names[i], round(float(row[i]), _DECIMALS))
            if i < len(self.names) and row[i] >= min_score
            else None
            for i, row in zip(best.tolist(), sure, strict=True)
        ]


def read_vocabulary(path: Path) -> tuple[Word, ...]:
    """Read words from a text file.

    One word or phrase a line; `mug: cup, beaker` makes cups and beakers mugs. What follows a `#`
    and blank lines are left out, words that were there before too.

    Raises:
        QueryError: the file cannot be read, has no words, too many or too long ones, or one of
            its phrases means two words.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = "it is no text in UTF-8" if isinstance(error, UnicodeDecodeError) else error.strerror
        raise QueryError(
            f"{path} cannot be read: {why}", "give a text file in UTF-8, one word a line"
        ) from error
    return parse_vocabulary(text, str(path))


def profile_vocabulary(index: Index) -> Path:
    """Return the file with the words of the profile that an index was made with.

    Raises:
        QueryError: it is not there.
    """
    name = profile_from(index.recipe.provenance["profile"]).clip.vocabulary
    path = find_file(name)
    if path is None:
        raise QueryError(f"there is no vocabulary {name!r}", "give a list of words of your own")
    return path


def parse_vocabulary(text: str, where: str) -> tuple[Word, ...]:
    """Read words from a text; see `read_vocabulary`.

    Args:
        text: the lines.
        where: what the text is called in errors.
    """
    owners: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        name, *synonyms = _phrases(line, f"{where}, line {number}")
        if not name:
            continue
        name = owners.get(name.casefold(), name)  # CLIP does not tell capitals
        for phrase in (name, *synonyms):
            if owners.setdefault(phrase.casefold(), name) != name:
                raise QueryError(
                    f"{where}, line {number}: {phrase} means {owners[phrase.casefold()]} already",
                    "let each phrase mean one word",
                )
    _check_count(len(owners), where)
    named: dict[str, list[str]] = {}
    for phrase, name in owners.items():
        named.setdefault(name, []).append(phrase)
    return tuple(Word(name, tuple(phrases)) for name, phrases in named.items())


def make_labeller(embedder: Embedder, words: Sequence[Word], sample: Vector) -> Labeller:
    """Make what names vectors.

    Args:
        embedder: the CLIP that made the vectors.
        words: at least one.
        sample: vectors of segments as they come, float32, shape (k, dim); k may be 0.
    """
    phrases = [phrase for word in words for phrase in word.phrases]
    nothing = [general for general in NOTHING if general not in phrases]
    groups = [*(len(word.phrases) for word in words), len(nothing)]
    vectors = np.stack([embedder.text(phrase) for phrase in [*phrases, *nothing]])
    return Labeller(
        names=tuple(word.name for word in words),
        phrases=vectors,
        owners=np.repeat(np.arange(len(groups)), groups),
        offsets=offsets(vectors, sample),
        scale=float(embedder.upstream.logit_scale.exp().item()),
    )


def offsets(phrases: Vector, sample: Vector) -> Vector:
    """Return the mean cosine of each phrase with those vectors for which it is not the highest.

    Args:
        phrases: float32, shape (m, dim).
        sample: float32, shape (k, dim); k may be 0, all offsets are 0 then.

    Returns:
        float32, shape (m,).
    """
    scores = sample @ phrases.T
    if len(scores):
        scores[np.arange(len(scores)), scores.argmax(axis=1)] = np.nan
    others = ~np.isnan(scores)
    sums = np.where(others, scores, 0).sum(axis=0)
    return np.asarray(sums / np.maximum(others.sum(axis=0), 1), dtype=np.float32)


def label_segments(
    index: Index,
    embedder: Embedder,
    words: Sequence[Word],
    *,
    min_score: float = MIN_SCORE,
    write: bool = True,
    progress: Progress = _quietly,
) -> Named:
    """Name the segments of an index by a vocabulary; a detector's labels are left alone.

    Labels of an earlier vocabulary are replaced, or taken away where no word fits. Killed half
    way, some segments have the new labels and some the old ones: run it again.

    Args:
        index: opened by the only writer, see `indexer.opening.only_writer`.
        embedder: the index's own CLIP.
        words: at least one.
        min_score: how sure a label is at least, 0 to 1.
        write: False only counts what would be.
        progress: called with the segments done and all there are.
    """
    total = index.count("segments", _NOT_DETECTED)
    labeller = make_labeller(embedder, words, _sample(index, embedder.dim))
    counts = Counter({word.name: 0 for word in words})
    done = changed = 0
    for page in _pages(segment for segment, _ in index.all_segments(_NOT_DETECTED, vectors=True)):
        found = labeller.labels(_vectors(page), min_score)
        counts.update(label[0] for label in found if label is not None)
        new = {s.id: to for s, to in zip(page, found, strict=True) if to != _label(s.region)}
        if write:
            index.label(new, SOURCE)
        done, changed = done + len(page), changed + len(new)
        progress(done, total)
    unlabelled, detected = done - counts.total(), index.count("segments") - total
    return Named(dict(counts.most_common()), unlabelled, detected, changed)


def clear_labels(index: Index, *, write: bool = True, progress: Progress = _quietly) -> int:
    """Take away all labels that came from a vocabulary, and return how many there were.

    Args:
        index: opened by the only writer.
        write: False only counts them.
        progress: see `label_segments`.
    """
    named = Filter((Match("label_source", (SOURCE,)),))
    total = index.count("segments", named)
    if not write:
        return total
    done = 0
    for page in _pages(segment for segment, _ in index.all_segments(named)):
        index.label(dict.fromkeys((segment.id for segment in page), None), SOURCE)
        done += len(page)
        progress(done, total)
    return done


def _sample(index: Index, dim: int) -> Vector:
    first = itertools.islice(index.all_segments(EVERYTHING, vectors=True), _SAMPLE)
    rows = [segment.vector for segment, _ in first if segment.vector is not None]
    return np.stack(rows) if rows else np.zeros((0, dim), dtype=np.float32)


def _vectors(page: Sequence[Segment]) -> Vector:
    return np.stack([segment.vector for segment in page if segment.vector is not None])


def _label(region: Region) -> Label | None:
    if region.label is None or region.label_score is None:
        return None
    return region.label, region.label_score


def _pages(segments: Iterable[Segment]) -> Iterator[list[Segment]]:
    """Yield the segments, so many at a time."""
    rest = iter(segments)
    while page := list(itertools.islice(rest, _PAGE)):
        yield page


def _phrases(line: str, where: str) -> list[str]:
    """Return the name and the synonyms in a line; one empty phrase if there is nothing."""
    name, _, rest = line.partition("#")[0].partition(":")
    phrases = [" ".join(phrase.split()) for phrase in (name, *rest.split(","))]
    if not phrases[0] and any(phrases):
        raise QueryError(f"{where}: no word before the colon", "write `word: synonym, synonym`")
    for phrase in phrases:
        if len(phrase) > _LONGEST:
            raise QueryError(
                f"{where}: more than {_LONGEST} characters: {phrase[:40]}…",
                "write one word or short phrase a line",
            )
    return [phrases[0], *filter(None, phrases[1:])]


def _check_count(phrases: int, where: str) -> None:
    if not phrases:
        raise QueryError(f"{where} has no words", "write one word or phrase a line")
    if phrases > MOST_PHRASES:
        raise QueryError(
            f"{where} has {phrases} words and phrases, more than {MOST_PHRASES}",
            "leave out what your pictures do not show: alike words make each other unsure",
        )
