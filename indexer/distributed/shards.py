"""What a cluster has computed and nobody has written into the index yet: Parquet files.

A row is a picture with its regions and vectors, or why there are none. A shard is there with all
its rows or not at all, has a name that its content decides, and stays until its pictures are in
the index: so a run that was killed is continued without computing a finished shard again.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from indexer.candidates import Candidate
from indexer.errors import SegsearchError
from indexer.records import Failure, Picture, Region, Rle, Vector, image_id
from indexer.writing import Embedded, Failed

_PAIR = pa.list_(pa.float64(), 2)
_PICTURE = pa.struct(
    {
        "sha256": pa.string(),
        "width": pa.int32(),
        "height": pa.int32(),
        "format": pa.string(),
        "frames": pa.int32(),
        "taken_at": pa.timestamp("us"),
        "camera": pa.string(),
        "gps": _PAIR,
    }
)
_REGION = pa.struct(
    {
        "rle": pa.struct({"size": pa.list_(pa.int32(), 2), "counts": pa.string()}),
        "box": pa.list_(pa.int32(), 4),
        "area_px": pa.int64(),
        "predicted_iou": pa.float64(),
        "stability_score": pa.float64(),
        "point": _PAIR,
        "parent": pa.int32(),
        "depth": pa.int32(),
        "label": pa.string(),
        "label_score": pa.float64(),
        "label_source": pa.string(),
    }
)
_FAILURE = pa.struct({"reason": pa.string(), "message": pa.string(), "retryable": pa.bool_()})
#: `detections` is the digest of the boxes that the picture was cut with, see `Candidate`.
_SCHEMA = pa.schema(
    {
        "image_id": pa.string(),
        "detections": pa.string(),
        "picture": _PICTURE,
        "regions": pa.list_(_REGION),
        "vectors": pa.large_list(pa.float32()),
        "failure": _FAILURE,
    }
)
_SUFFIX = ".parquet"

#: What must be the same for a result to be used again: the picture and the boxes it was cut with.
Key = tuple[str, str | None]


@dataclass(frozen=True, eq=False)
class Row:
    """What came of one file: a picture with regions and vectors, or a failure."""

    image_id: str | None
    picture: Picture | None
    regions: list[Region]
    vectors: Vector
    failure: Failure | None

    def of(self, candidate: Candidate) -> Embedded | Failed:
        """Return it as the result of a file."""
        if self.picture is not None:
            return Embedded(candidate, self.picture, self.regions, self.vectors)
        assert self.failure is not None  # noqa: S101 - narrows the type
        return Failed(candidate, self.failure, self.image_id)


@dataclass(frozen=True)
class Place:
    """A row of a shard: the shard's name, and the position in it."""

    shard: str
    row: int


class Shards:
    """The shards of one index and recipe, in a folder of a file system that all machines see."""

    def __init__(self, location: str) -> None:
        """Use a folder, which is made when there is something to put into it.

        Args:
            location: an absolute path, or ``s3://bucket/prefix``.
        """
        from indexer.library import remote

        self._location = location
        self._files: fs.FileSystem
        if remote.is_uri(location):
            self._files, self._folder = remote.file_system(), remote.key(location)
        else:
            self._files, self._folder = fs.LocalFileSystem(), location

    def write(self, results: Sequence[Embedded | Failed]) -> str:
        """Write a shard as a whole and return its name.

        Raises:
            SegsearchError: it cannot be written.
        """
        table = pa.Table.from_pylist([_plain(result) for result in results], _SCHEMA)
        keys = [
            f"{each.candidate.place} {_image_id(each)} {each.candidate.detections}"
            for each in results
        ]
        name = hashlib.sha256("\n".join(keys).encode()).hexdigest()[:32] + _SUFFIX
        packed = io.BytesIO()
        pq.write_table(table, packed, compression="zstd")
        with self._explained("written"):
            self._files.create_dir(self._folder, recursive=True)
            # a file system shows a file while it is written, S3 does not
            part = name if isinstance(self._files, fs.S3FileSystem) else name + ".part"
            with self._files.open_output_stream(f"{self._folder}/{part}") as stream:
                stream.write(packed.getbuffer())
            if part != name:
                self._files.move(f"{self._folder}/{part}", f"{self._folder}/{name}")
        return name

    def read(self, name: str) -> list[Row]:
        """Return the rows of a shard.

        Raises:
            SegsearchError: it cannot be read.
        """
        with self._explained("read"), self._files.open_input_file(f"{self._folder}/{name}") as file:
            return [_row(plain) for plain in pq.read_table(file).to_pylist()]

    def finished(self) -> Iterator[tuple[Key, Place]]:
        """Find the pictures in the shards that are there; what is damaged is removed.

        Raises:
            SegsearchError: they cannot be read.
        """
        for name in self.names():
            path = f"{self._folder}/{name}"
            with self._explained("read"):
                try:
                    with self._files.open_input_file(path) as file:
                        rows = pq.read_table(file, columns=["image_id", "detections", "failure"])
                except pa.ArrowInvalid:  # cut short by a power cut
                    self._files.delete_file(path)
                    continue
            for number, row in enumerate(rows.to_pylist()):
                if row["failure"] is None:
                    yield (row["image_id"], row["detections"]), Place(name, number)

    def remove(self, names: Sequence[str]) -> None:
        """Remove shards, and the folder after the last one.

        Raises:
            SegsearchError: they cannot be removed.
        """
        with self._explained("removed"):
            for name in names:
                with contextlib.suppress(FileNotFoundError):
                    self._files.delete_file(f"{self._folder}/{name}")
            if names and not self.names():
                with contextlib.suppress(FileNotFoundError):
                    self._files.delete_dir(self._folder)

    def names(self) -> list[str]:
        """Return the names of the shards that are there.

        Raises:
            SegsearchError: they cannot be listed.
        """
        selector = fs.FileSelector(self._folder, allow_not_found=True)
        with self._explained("listed"):
            found = [each.base_name for each in self._files.get_file_info(selector)]
        return sorted(name for name in found if name.endswith(_SUFFIX))

    @contextlib.contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise SegsearchError(
                f"the work folder {self._location} cannot be {what}: {error}",
                "check that it is there, writable and not full, or name another one with --work",
            ) from error


def _image_id(result: Embedded | Failed) -> str | None:
    return image_id(result.picture.sha256) if isinstance(result, Embedded) else result.image_id


def _plain(result: Embedded | Failed) -> dict[str, Any]:
    row: dict[str, Any] = {
        "image_id": _image_id(result),
        "detections": result.candidate.detections,
    }
    if isinstance(result, Failed):
        return row | {"failure": asdict(result.failure)}
    return row | {
        "picture": asdict(result.picture),
        "regions": [asdict(region) for region in result.regions],
        "vectors": np.asarray(result.vectors, np.float32).reshape(-1),
    }


def _row(plain: dict[str, Any]) -> Row:
    failure = None if plain["failure"] is None else Failure(**plain["failure"])
    if plain["picture"] is None:
        return Row(plain["image_id"], None, [], np.empty((0, 0), np.float32), failure)
    told = plain["picture"]
    picture = Picture(**told | {"gps": _tuple(told["gps"])})
    regions = [_region(each) for each in plain["regions"]]
    vectors = np.asarray(plain["vectors"], np.float32).reshape(len(regions) + 1, -1)
    return Row(plain["image_id"], picture, regions, vectors, failure)


def _region(plain: dict[str, Any]) -> Region:
    mask = Rle(tuple(plain["rle"]["size"]), plain["rle"]["counts"])
    changed = {"rle": mask, "box": tuple(plain["box"]), "point": _tuple(plain["point"])}
    return Region(**plain | changed)


def _tuple(values: list[float] | None) -> tuple[float, ...] | None:
    return None if values is None else tuple(values)
