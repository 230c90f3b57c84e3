"""Zstandard, with bounds: nobody's claim about a size is believed, and memory stays small.

The library is in Python from 3.14 on, and the same one is installed for older Pythons. It is
imported when the first pack is written or read.
"""

import sys
from collections.abc import Iterable, Iterator
from typing import Any, Final

from instrument.errors import IntegrityError

CHUNK_BYTES: Final = 256 * 1024
# A frame that wants a larger window is not ours: 8 MiB, and so much memory a decompressor takes.
_WINDOW_LOG: Final = 23
_LEVEL: Final = 6


def library() -> Any:
    """The module ``compression.zstd``, or ``backports.zstd``, which has the same face."""
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return zstd


def deflate(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """One frame that holds all of `chunks`."""
    zstd = library()
    options = {
        zstd.CompressionParameter.compression_level: _LEVEL,
        zstd.CompressionParameter.window_log: _WINDOW_LOG,
    }
    compressor = zstd.ZstdCompressor(options=options)
    for chunk in chunks:
        yield compressor.compress(chunk)
    yield compressor.flush()


def inflate(frame: Iterable[bytes], size_bytes: int) -> Iterator[bytes]:
    """What `frame`, exactly one frame, holds, in pieces of bounded length.

    Raises:
        IntegrityError: It does not hold exactly `size_bytes`; nothing beyond them was given out.
    """
    zstd = library()
    options = {zstd.DecompressionParameter.window_log_max: _WINDOW_LOG}
    decompressor = zstd.ZstdDecompressor(options=options)
    left = size_bytes
    try:
        for data in frame:
            for piece in _pieces(decompressor, data):
                left -= len(piece)
                if left < 0:
                    raise IntegrityError(f"the frame holds more than {size_bytes} bytes")
                yield piece
    except (zstd.ZstdError, EOFError) as error:
        raise IntegrityError(f"no whole zstd frame: {error}") from error
    if left or not decompressor.eof or decompressor.unused_data:
        raise IntegrityError(f"the frame does not hold {size_bytes} bytes")


def _pieces(decompressor: Any, data: bytes) -> Iterator[bytes]:
    piece = decompressor.decompress(data, max_length=CHUNK_BYTES)
    yield piece
    while not (decompressor.eof or decompressor.needs_input):
        piece = decompressor.decompress(b"", max_length=CHUNK_BYTES)
        yield piece
