"""What a DICOM file will become in memory, read from its bytes before anything is decompressed."""

import struct
from typing import BinaryIO

from .errors import BrokenImageError

DEFLATED = "1.2.840.10008.1.2.1.99"
_NO_FRAME = {0xC4, 0xC8, 0xCC}  # in the range of JPEG's start-of-frame markers, but tables
_JPEG_LS, _START_OF_SCAN, _FILL = 0xF7, 0xDA, 0xFF


def is_deflated(stream: BinaryIO) -> bool:
    """Whether a file is deflated as a whole, which pydicom would inflate to any size."""
    from pydicom.filereader import _read_file_meta_info, read_preamble

    stream.seek(0)
    read_preamble(stream, force=True)
    found = _read_file_meta_info(stream).get("TransferSyntaxUID") == DEFLATED
    stream.seek(0)
    return found


def check_frame(path: str, data: object) -> None:
    """Refuses pixel data that hold more than the one image of the size that the header states."""
    from pydicom.encaps import generate_frames

    size = data.Rows * data.Columns * ((data.BitsAllocated + 7) // 8)
    if not data.file_meta.TransferSyntaxUID.is_compressed:
        if data.BitsAllocated >= 8 and len(data.PixelData) >= 2 * size:
            raise BrokenImageError(f"{path}: pixel data of {len(data.PixelData) // size} images; only one can be read")
        return
    frames = list(generate_frames(data.PixelData, number_of_frames=1))
    if len(frames) != 1:
        raise BrokenImageError(f"{path}: pixel data of {len(frames)} images; only one can be read")
    frame = frames[0]
    if data.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.5":
        fits = _fits_unpacked(frame, size)
    else:
        fits = _encoded_shape(frame) == (data.Rows, data.Columns, 1)
    if not fits:
        raise BrokenImageError(
            f"{path}: the compressed image is damaged, or has another size than its header's {data.Columns} x "
            f"{data.Rows}: copy it again, or take it out of the list"
        )


def _encoded_shape(frame: bytes) -> tuple[int, int, int] | None:
    """Height, width and components of a JPEG, JPEG-LS or JPEG 2000 image; None if it is none of these.

    Of a JPEG, all segments before the image are walked through: GDCM ends the process where they do not join.
    """
    if frame.startswith(b"\xff\x4f\xff\x51"):
        right, lower, left, upper = struct.unpack_from(">4I", frame, 8)
        return lower - upper, right - left, struct.unpack_from(">H", frame, 40)[0]
    at, shape = 2, None
    while frame.startswith(b"\xff\xd8") and at + 9 < len(frame) and frame[at] == 0xFF:
        marker, length = struct.unpack_from(">BH", frame, at + 1)
        if (0xC0 <= marker <= 0xCF and marker not in _NO_FRAME) or marker == _JPEG_LS:
            if shape is not None:
                return None
            shape = struct.unpack_from(">HHB", frame, at + 5)
        elif marker == _START_OF_SCAN:
            return shape
        at += 1 if marker == _FILL else 2 + length
    return None


def _fits_unpacked(frame: bytes, size: int) -> bool:
    """Whether run-length encoded bytes unpack to about `size` bytes: a byte of padding per segment is usual."""
    count, *offsets = struct.unpack_from("<16I", frame)
    if not 0 < count <= 15:
        return False
    unpacked, bounds = 0, [*offsets[:count], len(frame)]
    for start, stop in zip(bounds, bounds[1:], strict=False):
        while start < stop and unpacked <= size + count:
            head = frame[start]
            unpacked += head + 1 if head < 128 else 257 - head if head > 128 else 0
            start += head + 2 if head < 128 else 2 if head > 128 else 1
    return size <= unpacked <= size + count
