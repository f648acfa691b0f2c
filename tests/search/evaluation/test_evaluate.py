"""Whole evaluations of drawn scenes, with the demo CLIP and a seeded SAM 2."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from indexer.demo.scenes import write_library
from indexer.embedding import Embedder
from indexer.profiles import Profile
from indexer.segmentation.segmenter import Segmenter
from indexer.work import Models
from search.evaluation.coco import read_instances
from search.evaluation.evaluate import Evaluation
from search.evaluation.recipes import profile_recipe
from search.evaluation.truth import Truth, read_truth

COUNT = 3


@pytest.fixture(scope="module")
def models(segmenter: Segmenter, embedder: Embedder) -> Models:
    return Models(segmenter, embedder, concurrent=False, device="cpu", precision="float32")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes")
    write_library(folder, COUNT)
    return folder


@pytest.fixture(scope="module")
def truth(folder: Path) -> Truth:
    return read_truth(read_instances(folder / "annotations.json"), folder)


@pytest.fixture(scope="module")
def evaluation(models: Models, fast_profile: Profile, truth: Truth) -> Evaluation:
    evaluation = Evaluation(models, fast_profile.clip)
    for picture in truth.pictures:
        evaluation.see(picture)
    return evaluation


def only(rows: list[dict[str, Any]], **values: str) -> dict[str, Any]:
    (row,) = [row for row in rows if values.items() <= row.items()]
    return row


def test_the_figures_of_drawn_scenes(evaluation: Evaluation, truth: Truth) -> None:
    assert truth.backgrounds == ("background",)
    stages: list[str] = []
    rows = evaluation.rows({one.id: ["a mug"] for one in truth.pictures[:2]}, stages.append)
    assert stages == [
        *("automatic segments", "true masks", "tight boxes", "whole pictures", "captions"),
    ]
    about = only(rows, part="data")
    count = sum(len(picture.objects) for picture in truth.pictures)
    assert (about["pictures"], about["skipped"], about["objects"]) == (COUNT, 0, count)
    sizes = [only(rows, part="masks", size=size) for size in ("small", "medium", "large")]
    assert sum(row["objects"] for row in sizes) == count
    masks = only(rows, part="masks", size="all")
    assert 0 <= masks["recall_75"] <= masks["recall_50"] <= 1
    # the demo CLIP knows these objects, and a whole picture says little of one of them
    for part in ("text", "segment"):
        maps = {
            row["searched"]: row["map"]
            for row in rows
            if row["part"] == part and row["size"] == "all"
        }
        assert maps["true masks"] > 0.6
        assert maps["tight boxes"] > 0.6
        assert maps["whole pictures"] < 0.5
        assert maps["automatic segments"] <= maps["true masks"]
    assert {row["queries"] for row in rows if row["part"] == "caption"} == {2}
    json.dumps(rows)


def test_the_true_masks_vectors_are_those_of_an_index(
    evaluation: Evaluation, models: Models, fast_profile: Profile, truth: Truth
) -> None:
    from indexer.embedding import blend
    from indexer.segmentation.masks import decode

    picture = truth.pictures[0]
    assert picture.path is not None
    pixels = PIL.Image.open(picture.path).convert("RGB")
    crops = [models.embedder.crop_segment(pixels, decode(o.rle), o.box) for o in picture.objects]
    both = evaluation._both(profile_recipe(fast_profile.clip).crop)
    vectors = blend(*both, fast_profile.clip.focus_weight)[: len(crops)]
    np.testing.assert_allclose(vectors, models.embedder.vectors(crops), atol=1e-5)


def test_recipes(models: Models, fast_profile: Profile, truth: Truth) -> None:
    evaluation = Evaluation(models, fast_profile.clip, recipes=True)
    evaluation.see(truth.pictures[0])
    rows = evaluation.rows()
    recipes = [row for row in rows if row["part"] == "recipe"]
    assert len(recipes) == 6 * 6  # four margins, two other surroundings; five weights and 0.7
    assert sum("best" in row["mark"] for row in recipes) == 1
    own = [row for row in recipes if "profile" in row["mark"]]
    assert [(r["crop_margin"], r["surroundings"], r["focus_weight"]) for r in own] == [
        (1.2, "kept", 0.7)
    ]
    assert own[0]["text_map"] == pytest.approx(
        only(rows, part="text", searched="true masks", size="all")["map"]
    )
    assert rows[-1]["part"] == "advice"


def test_pictures_that_do_not_fit_the_truth(
    models: Models, fast_profile: Profile, truth: Truth, tmp_path: Path
) -> None:
    first = truth.pictures[0]
    turned, other, broken = (tmp_path / f"{n}.jpg" for n in ("turned", "other", "broken"))
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    assert first.path is not None
    with PIL.Image.open(first.path) as picture:
        picture.save(turned, exif=exif)
        picture.resize((64, 48)).save(other)
    broken.write_bytes(b"no picture")
    evaluation = Evaluation(models, fast_profile.clip)
    for path in (turned, other, broken, None):
        name = path.name if path else "gone.jpg"
        evaluation.see(dataclasses.replace(first, path=path, name=name))
    assert evaluation.pictures == []
    reasons = {one.name: one.reason for one in evaluation.skipped}
    assert reasons["turned.jpg"] == (
        "it has 512×640 pixels, the annotations say 640×512: "
        "they are of the picture before its EXIF orientation turns it"
    )
    assert reasons["other.jpg"] == "it has 64×48 pixels, the annotations say 640×512"
    assert "not a picture" in reasons["broken.jpg"]
    assert reasons["gone.jpg"] == "it is not in the folder"
