"""Recipes compared on vectors whose best blend is known."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from indexer.profiles import ClipProfile, Profile
from indexer.records import Vector
from search.evaluation.galleries import Objects
from search.evaluation.recipes import (
    CropRecipe,
    advice,
    best_of,
    crop_recipes,
    profile_recipe,
    recipe_rows,
    try_recipes,
)

KINDS = ["star", "mug"] * 4
OBJECTS = Objects(
    np.array(KINDS), np.array(KINDS), np.array(["small"] * 8), np.array([0, 0, 1, 1, 2, 2, 3, 3])
)
#: Vectors that tell the kinds apart, and vectors that say the opposite of what is right.
GOOD = np.array([[1, 0], [0, 1]] * 4, dtype=np.float32)
BAD = GOOD[:, ::-1].copy()
EQUAL = np.full((8, 2), 0.5**0.5, dtype=np.float32)
KEPT, BLURRED = CropRecipe(1.5, "kept"), CropRecipe(1.5, "blurred")


def text(words: str) -> Vector:
    return np.asarray(GOOD[KINDS.index(words)])


@pytest.fixture
def clip(fast_profile: Profile) -> ClipProfile:
    return dataclasses.replace(fast_profile.clip, crop_margin=1.5, focus_weight=0.3)


def test_what_is_compared(clip: ClipProfile) -> None:
    said = [(one.margin, one.surroundings) for one in crop_recipes(clip)]
    assert said == [
        *((1.5, "kept"), (1.0, "kept"), (1.2, "kept"), (2.0, "kept")),
        *((1.5, "mean"), (1.5, "blurred")),
    ]
    other = dataclasses.replace(clip, crop_margin=1.3)
    assert [one.margin for one in crop_recipes(other) if one.surroundings == "kept"] == [
        *(1.3, 1.0, 1.2, 1.5, 2.0),
    ]


def test_the_best_blend_is_found_and_said(clip: ClipProfile) -> None:
    tried = try_recipes({KEPT: (BAD, GOOD)}, OBJECTS, text, clip)
    assert [one.recipe.focus_weight for one in tried[:2]] == [0.75, 1.0]  # equals keep their order
    assert tried[0].mean_map == 1
    assert tried[-1].mean_map < 0.7
    rows = recipe_rows(tried, profile_recipe(clip))
    assert {row["focus_weight"] for row in rows} == {0, 0.25, 0.3, 0.5, 0.75, 1}
    assert rows[0]["mark"] == "best"
    assert [row["focus_weight"] for row in rows if row["mark"] == "profile"] == [0.3]
    (words,) = advice(tried, profile_recipe(clip))
    assert words.startswith("change in the profile focus_weight 0.3 → 0.75: text → segment +0.")
    assert words.endswith("; segment → segment +0.000 (+0.000 to +0.000)")


def test_a_gain_that_may_be_chance_is_said_to_be(clip: ClipProfile) -> None:
    """One star of four is better with the other view, and one mug is as good as before."""
    worse = GOOD.copy()
    worse[0] = (0, 1)
    better = GOOD.copy()
    better[1] = (1, 0)
    views = {KEPT: (worse, worse), CropRecipe(2.0, "kept"): (better, better)}
    tried = try_recipes(views, OBJECTS, lambda words: text(words) * (words == "mug"), clip)
    (words,) = advice(tried, profile_recipe(clip))
    assert words.startswith("nothing tried is certainly better than the profile's recipe")


def test_what_no_profile_can_say_is_not_advised(clip: ClipProfile) -> None:
    views = {KEPT: (EQUAL, EQUAL), BLURRED: (GOOD, GOOD)}
    tried = try_recipes(views, OBJECTS, text, clip)
    assert tried[0].recipe.crop == BLURRED
    assert best_of(tried).recipe.crop == KEPT
    lines = advice(tried, profile_recipe(clip))
    assert lines[1].startswith("blurred surroundings would do better still (1.000)")


def test_the_profiles_recipe_may_be_the_best(clip: ClipProfile) -> None:
    own = dataclasses.replace(clip, focus_weight=0.0)
    tried = try_recipes({KEPT: (GOOD, BAD)}, OBJECTS, text, own)
    rows = recipe_rows(tried, profile_recipe(own))
    assert (rows[0]["mark"], rows[0]["focus_weight"]) == ("best profile", 0)
    (words,) = advice(tried, profile_recipe(own))
    assert words == "the profile's recipe is the best of those tried (1.000): keep it"


def test_of_equals_the_profiles_recipe_is_the_best(clip: ClipProfile) -> None:
    tried = try_recipes({KEPT: (GOOD, GOOD)}, OBJECTS, text, clip)
    assert tried[0].recipe == profile_recipe(clip)


def test_no_kind_in_two_pictures(clip: ClipProfile) -> None:
    alone = dataclasses.replace(OBJECTS, pictures=np.zeros(8, dtype=np.intp))
    tried = try_recipes({KEPT: (BAD, GOOD)}, alone, text, clip)
    assert tried[0].mean_map == 1
    assert recipe_rows(tried, profile_recipe(clip))[0]["segment_map"] is None
    assert "segment → segment" not in advice(tried, profile_recipe(clip))[0]
