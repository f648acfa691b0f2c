"""Hits as assets: pictures, masks, cut-outs, crops, COCO, Parquet, a contact sheet.

SAM 2 is never asked again: the index has the masks. `export.save` writes a query's hits,
`export.export` a stream of them, however long. Every file is there whole or not at all, and
replaces one of the same name. What fails, or is given up, leaves the pictures that it has written,
but no file of many pictures.
"""

from __future__ import annotations

from search.export.kinds import FILES, PICTURES, How, Kind, Missing, Written

__all__ = ["FILES", "PICTURES", "How", "Kind", "Missing", "Written"]
