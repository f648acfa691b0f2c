"""Where the models run."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from search.engine import Searcher

_WITH_THREE_THREADS = """
import json, threading
import torch
torch.set_num_threads(3)
from search.models import _one_core

found = {"of the pass": _one_core().submit(torch.get_num_threads).result()}
found["of the caller"] = torch.get_num_threads()
def note():
    found["of a later thread"] = torch.get_num_threads()
later = threading.Thread(target=note)
later.start()
later.join()
print(json.dumps(found))
"""


def test_small_models_use_one_core_and_nothing_else_is_changed() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _WITH_THREE_THREADS],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "3"},
    )
    assert json.loads(done.stdout) == {
        "of the pass": 1,
        "of the caller": 3,
        "of a later thread": 3,
    }


def test_a_text_is_embedded_as_the_embedder_does(searcher: Searcher) -> None:
    expected = searcher.embedder().text("red star")
    assert searcher.models.text("red star").tolist() == expected.tolist()
