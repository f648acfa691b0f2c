"""Which recipe makes the best vectors of true masks: margin, surroundings and weights compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from indexer.profiles import ClipProfile
from indexer.records import Vector
from search.evaluation.galleries import Objects, each_itself
from search.evaluation.measures import Outcome, interval
from search.evaluation.retrieval import Retrieval

if TYPE_CHECKING:
    from indexer.crops import Surroundings

#: What is compared, beside what the profile says.
MARGINS = (1.0, 1.2, 1.5, 2.0)
SURROUNDINGS = ("kept", "mean", "blurred")
WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class CropRecipe:
    """How a segment is cut out.

    Attributes:
        margin: side of the crop over the longer side of the segment's box.
        surroundings: what is shown around the mask.
    """

    margin: float
    surroundings: Surroundings


@dataclass(frozen=True)
class Recipe:
    """How a segment becomes a vector.

    Attributes:
        crop: how it is cut out.
        focus_weight: weight of the view that is limited to the mask, 0 to 1.
    """

    crop: CropRecipe
    focus_weight: float


@dataclass(frozen=True, eq=False)
class Tried:
    """What came of a recipe.

    Attributes:
        recipe: it.
        text: of the queries for each kind.
        segment: of the queries with each object.
    """

    recipe: Recipe
    text: Outcome
    segment: Outcome

    @property
    def mean_map(self) -> float:
        """The mean of both mAP; of text → segment alone, where no kind is in two pictures."""
        means = (self.text.mean, self.segment.mean)
        return float(np.mean([mean for mean in means if mean is not None]))


def profile_recipe(clip: ClipProfile) -> Recipe:
    """Return the recipe of a profile."""
    return Recipe(CropRecipe(clip.crop_margin, "kept"), clip.focus_weight)


def crop_recipes(clip: ClipProfile) -> list[CropRecipe]:
    """Return the ways to cut that are compared, the profile's first.

    All margins with what is around the mask, and the profile's margin with other surroundings.
    """
    own = profile_recipe(clip).crop
    margins = [CropRecipe(margin, "kept") for margin in MARGINS]
    others = [CropRecipe(own.margin, cast("Surroundings", one)) for one in SURROUNDINGS]
    return list(dict.fromkeys([own, *margins, *others]))


def try_recipes(
    views: Mapping[CropRecipe, tuple[Vector, Vector]],
    objects: Objects,
    text: Callable[[str], Vector],
    clip: ClipProfile,
) -> list[Tried]:
    """Search the true masks with every recipe; the best comes first, of equals the profile's.

    Args:
        views: for each way to cut, `context` and `focus` of all objects, shape (objects, dim).
        objects: what they are of.
        text: gives a query's vector.
        clip: the profile, whose weight is tried too.
    """
    from indexer.embedding import blend

    tried = []
    for crop, (context, focus) in views.items():
        for weight in sorted({*WEIGHTS, clip.focus_weight}):
            vectors = blend(context, focus, weight)
            retrieval = Retrieval(each_itself(vectors, objects), objects)
            asked = retrieval.text(text), retrieval.segments(vectors)[0]
            tried.append(Tried(Recipe(crop, weight), *asked))
    own = profile_recipe(clip)
    return sorted(tried, key=lambda one: (-one.mean_map, one.recipe != own))


def recipe_rows(tried: Sequence[Tried], own: Recipe) -> list[dict[str, Any]]:
    """Return a row for each recipe.

    Args:
        tried: the best first.
        own: the profile's.
    """
    marks = {id(best_of(tried)): ["best"]}
    for one in tried:
        if one.recipe == own:
            marks.setdefault(id(one), []).append("profile")
    return [
        {
            "part": "recipe",
            "crop_margin": one.recipe.crop.margin,
            "surroundings": one.recipe.crop.surroundings,
            "focus_weight": one.recipe.focus_weight,
            "text_map": one.text.mean,
            "segment_map": one.segment.mean,
            "mean_map": one.mean_map,
            "mark": " ".join(marks.get(id(one), [])),
        }
        for one in tried
    ]


def best_of(tried: Sequence[Tried]) -> Tried:
    """Return the best recipe that a profile can say: surroundings are always kept there."""
    return next(one for one in tried if one.recipe.crop.surroundings == "kept")


def advice(tried: Sequence[Tried], own: Recipe) -> list[str]:
    """Say which keys of the profile to change, and how sure that is.

    Args:
        tried: the best first.
        own: the profile's.
    """
    best = best_of(tried)
    now = next(one for one in tried if one.recipe == own)
    lines = [_change(best, now)]
    if tried[0].recipe.crop.surroundings != "kept":
        lines.append(
            f"{tried[0].recipe.crop.surroundings} surroundings would do better still "
            f"({tried[0].mean_map:.3f}), but no profile has them: indexing keeps what is there"
        )
    return lines


def _change(best: Tried, now: Tried) -> str:
    if best is now:
        return f"the profile's recipe is the best of those tried ({now.mean_map:.3f}): keep it"
    keys = {
        "crop_margin": (now.recipe.crop.margin, best.recipe.crop.margin),
        "focus_weight": (now.recipe.focus_weight, best.recipe.focus_weight),
    }
    changes = [f"{key} {old:g} → {new:g}" for key, (old, new) in keys.items() if old != new]
    gains = {"text → segment": (now.text, best.text)}
    if len(now.segment.precisions):
        gains["segment → segment"] = (now.segment, best.segment)
    intervals = {name: _gained(*pair) for name, pair in gains.items()}
    said = [
        f"{name} {mean:+.3f} ({low:+.3f} to {high:+.3f})"
        for name, (mean, low, high) in intervals.items()
    ]
    if all(low <= 0 for _, low, _ in intervals.values()):
        begin = "nothing tried is certainly better than the profile's recipe; the best was"
    else:
        begin = "change in the profile"
    return f"{begin} {', '.join(changes)}: {'; '.join(said)}"


def _gained(before: Outcome, after: Outcome) -> tuple[float, float, float]:
    """Return what the same queries gain in the mean, and the ends of its interval."""
    gained = after.precisions - before.precisions
    low, high = interval(gained)
    assert low is not None  # noqa: S101 - narrows the type: there are queries
    assert high is not None  # noqa: S101
    return float(gained.mean()), low, high
