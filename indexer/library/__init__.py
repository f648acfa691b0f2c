"""Pictures in: find them, read them, decode them safely.

`scan` walks a library root, `read` takes the bytes of one file and identifies them, `decode`
turns them into 8-bit sRGB pixels in the EXIF-transposed frame. A picture that cannot be used
raises `indexer.errors.PictureError` with one of the codes in `REASONS`; anything else that
escapes is a bug. `Decoders` decodes in processes of its own, which a picture may hang or crash:
what reads pictures of strangers uses it. Pillow is imported by the first `decode`, not by this
package.
"""

from indexer.library.decode import (
    MAX_BYTES,
    MAX_PIXELS,
    MAX_SIDE,
    Content,
    Decoded,
    decode,
    preview,
    read,
)
from indexer.library.decoders import MEMORY_LIMIT, TIME_LIMIT_S, Decoders
from indexer.library.folders import has_entries, is_folder
from indexer.library.paths import full_path, original, split_path, storable
from indexer.library.remote import S3Path, as_path
from indexer.library.scan import EXTENSIONS, Found, Problem, root_folder, scan

#: What the stable failure codes of this package mean.
REASONS = {
    "corrupt": "the picture data is damaged, cut short, or of a variant that cannot be decoded;"
    " or the decoder crashed on it",
    "empty": "the file has no bytes",
    "needs_extra": "the format needs a library that is not installed",
    "out_of_memory": "the device has too little memory for the picture, even bit by bit; or the"
    " system ended its decoder, as it does when the machine's memory runs out",
    "too_large": "the file has more bytes, or the picture more pixels, than the limits allow; or"
    " decoding it takes more memory",
    "too_slow": "decoding it takes longer than the limit allows",
    "unreadable": "the operating system did not let it be read",
    "unsupported_format": "the bytes are not in any of the supported picture formats",
    "vanished": "it was there when its folder was listed, and gone when it was read",
}

__all__ = [
    "EXTENSIONS",
    "MAX_BYTES",
    "MAX_PIXELS",
    "MAX_SIDE",
    "MEMORY_LIMIT",
    "REASONS",
    "TIME_LIMIT_S",
    "Content",
    "Decoded",
    "Decoders",
    "Found",
    "Problem",
    "S3Path",
    "as_path",
    "decode",
    "full_path",
    "has_entries",
    "is_folder",
    "original",
    "preview",
    "read",
    "root_folder",
    "scan",
    "split_path",
    "storable",
]
