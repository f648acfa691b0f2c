"""Hits as assets: pictures, masks, cut-outs, crops, COCO, Parquet, a contact sheet.

SAM 2 is never asked again: the index has the masks. In `search.export.export`, `save` writes a
query's hits and `export` a stream of them, however long; nothing heavy is imported before that.
"""

from __future__ import annotations

from search.export.kinds import FILES, PICTURES, How, Kind, Missing, Written

__all__ = ["FILES", "PICTURES", "How", "Kind", "Missing", "Written"]
