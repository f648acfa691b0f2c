from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import pytest

from indexer.embedding import Embedder
from indexer.errors import RecipeMismatch, StoreDamaged
from indexer.recipe import Recipe, recipe_from, require_same
from indexer.segmentation.segmenter import Segmenter
from indexer.store.schema import FORMAT

RECIPE = Recipe(
    {"model": "ViT-B-16", "dim": 512},
    {"model": "sam2.1", "merge_iou_thresh": None, "points_per_side": 32},
    {"device": "cpu", "profile": {}},
)


def test_the_length_of_the_vectors() -> None:
    assert RECIPE.dim == 512


def test_a_recipe_survives_json() -> None:
    plain = json.loads(json.dumps(RECIPE.to_plain()))
    assert plain["format"] == FORMAT
    assert recipe_from(plain, "here") == RECIPE


def test_the_models_recipes_survive_json(segmenter: Segmenter, embedder: Embedder) -> None:
    recipe = Recipe(embedder.vector_space(), segmenter.recipe(), {"profile": {}})
    back = recipe_from(json.loads(json.dumps(recipe.to_plain())), "here")
    assert back == recipe
    assert back.segmentation_id == recipe.segmentation_id
    require_same("vector space", back.vector_space, recipe.vector_space, "here")
    require_same("segmentation", back.segmentation, recipe.segmentation, "here")


def test_the_segmentation_id_is_the_digest_of_canonical_json() -> None:
    text = '{"merge_iou_thresh":null,"model":"sam2.1","points_per_side":32}'
    assert RECIPE.segmentation_id == hashlib.sha256(text.encode()).hexdigest()[:16]


def test_the_segmentation_id_depends_on_the_segmentation_alone() -> None:
    turned = dict(reversed(list(RECIPE.segmentation.items())))
    assert replace(RECIPE, segmentation=turned).segmentation_id == RECIPE.segmentation_id
    other = replace(RECIPE, vector_space={"dim": 1}, provenance={})
    assert other.segmentation_id == RECIPE.segmentation_id
    changed = {**RECIPE.segmentation, "points_per_side": 33}
    assert replace(RECIPE, segmentation=changed).segmentation_id != RECIPE.segmentation_id


@pytest.mark.parametrize("found", [None, 0, FORMAT + 1, str(FORMAT)])
def test_another_format(found: object) -> None:
    plain = {**RECIPE.to_plain(), "format": found}
    with pytest.raises(RecipeMismatch, match=f"has format {found}, this segsearch reads {FORMAT}"):
        recipe_from(plain, "here")


@pytest.mark.parametrize(
    ("part", "key"), [("vector_space", "dim"), ("segmentation", "model"), ("provenance", "profile")]
)
def test_a_part_that_is_missing(part: str, key: str) -> None:
    plain = RECIPE.to_plain()
    del plain[part][key]
    with pytest.raises(StoreDamaged, match=rf"index here lacks {part}\.{key}"):
        recipe_from(plain, "here")
    del plain[part]
    with pytest.raises(StoreDamaged, match=rf"index here lacks {part}\."):
        recipe_from(plain, "here")


def test_what_is_the_same_may_be_mixed() -> None:
    require_same("segmentation", {"a": 1, "b": None}, {"b": None, "a": 1.0}, "here")


def test_every_difference_is_named_with_both_sides() -> None:
    stored = {"model": "a", "side": 32, "same": 1, "gone": 2}
    given = {"model": "b", "side": 16, "same": 1, "new": [3]}
    with pytest.raises(RecipeMismatch) as caught:
        require_same("segmentation", stored, given, "here")
    assert caught.value.message == (
        "the index here was built with another segmentation: "
        "gone: the index has 2, this run None; "
        "model: the index has 'a', this run 'b'; "
        "new: the index has None, this run [3]; "
        "side: the index has 32, this run 16"
    )
    assert "--index" in caught.value.hint
