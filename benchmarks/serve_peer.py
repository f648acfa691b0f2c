"""The server that tutorials have, as `benchmarks.serve` compares ours with: see there."""

from __future__ import annotations

import sys
from contextlib import closing
from typing import Any

import fastapi
import pydantic
import torch
import uvicorn
from qdrant_client import QdrantClient, models

from benchmarks.search_latency import copy
from indexer.embedding import Embedder
from indexer.profiles import load_profile
from indexer.store import open_store
from indexer.store.server import ServerStore


class Question(pydantic.BaseModel):
    """A text, and how many hits are wanted."""

    text: str
    limit: int


def main() -> None:
    """Serve the segments of an index, until stopped."""
    client = QdrantClient(":memory:")
    with closing(open_store(sys.argv[1], create_ok=False)) as store:
        copy(store, ServerStore(client, "peer"))
    embedder = Embedder(load_profile("demo").clip, torch.device("cpu"))
    app = fastapi.FastAPI()

    @app.post("/v1/search")
    def search(question: Question) -> list[dict[str, Any]]:
        vector = embedder.text(question.text).tolist()
        found: list[models.ScoredPoint] = client.query_points(
            "peer_segments", vector, limit=question.limit, with_payload=True
        ).points
        return [{"id": each.id, "score": each.score, **(each.payload or {})} for each in found]

    class Server(uvicorn.Server):
        async def startup(self, sockets: Any = None) -> None:  # noqa: ANN401 - as uvicorn has it
            await super().startup(sockets)
            port = self.servers[0].sockets[0].getsockname()[1]
            print(f"serving at http://127.0.0.1:{port}", file=sys.stderr, flush=True)

    Server(uvicorn.Config(app, port=0, log_level="critical")).run()


if __name__ == "__main__":
    main()
