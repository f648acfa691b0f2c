"""What a soak has done to indexes, and what became of their records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Records = Mapping[str, Mapping[str, Any]]


@dataclass
class Tally:
    """Counts of a soak.

    Attributes:
        faults: kind of fault → how often it was injected.
        images: images that were in the indexes that were compared.
        lost: records that should have been there.
        doubled: records that should not have been there.
        wrong: records, or outcomes, other than promised.
        said: what was wrong, for people.
    """

    faults: Counter[str] = field(default_factory=Counter)
    images: int = 0
    lost: int = 0
    doubled: int = 0
    wrong: int = 0
    said: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """Whether nothing was lost, doubled or wrong."""
        return not (self.lost or self.doubled or self.wrong)

    def compare(self, what: str, found: Records, wanted: Records) -> None:
        """Compare all records of an index, kind → id → payload, with those of a quiet run."""
        self.images += len(found["images"])
        for kind, records in wanted.items():
            lost = records.keys() - found[kind].keys()
            doubled = found[kind].keys() - records.keys()
            wrong = [
                each
                for each in records.keys() & found[kind].keys()
                if records[each] != found[kind][each]
            ]
            self.lost += len(lost)
            self.doubled += len(doubled)
            self.wrong += len(wrong)
            if lost or doubled or wrong:
                self.said.append(
                    f"{what}: {kind}: {len(lost)} lost, {len(doubled)} doubled, {len(wrong)} wrong"
                )

    def fail(self, what: str) -> None:
        """Note an outcome that was not as promised."""
        self.wrong += 1
        self.said.append(what)

    def figures(self, seconds: float) -> dict[str, float]:
        """Return one flat object: figure → value."""
        kinds = {f"faults_{kind.replace(' ', '_')}": n for kind, n in sorted(self.faults.items())}
        return {
            "faults": self.faults.total(),
            **kinds,
            "images": self.images,
            "lost": self.lost,
            "doubled": self.doubled,
            "wrong": self.wrong,
            "seconds": round(seconds, 1),
        }
