"""DICOM radiographs through pydicom, which is imported when the first one is read."""

import io

import numpy as np

from .dicom_frames import check_frame, is_deflated
from .errors import MAX_PIXELS, BrokenImageError, WhiteError, white_of

WHITE = np.float32(255)


def is_dicom(path: str, raw: bytes) -> bool:
    """Whether a file is DICOM: by its magic number, or by its name if it has no magic number of an image."""
    if raw[128:132] == b"DICM":
        return True
    known = raw.startswith((b"\x89PNG", b"\xff\xd8", b"BM", b"II*\0", b"MM\0*"))
    return bool(raw) and not known and path.lower().endswith((".dcm", ".dicom"))


def read_dicom(path: str, raw: bytes, max_value: int | None) -> np.ndarray:
    """Grey values of a radiograph: modality LUT, then VOI LUT or window, then MONOCHROME1 inverted.

    The first window counts. Without a window all values that BitsStored allows are spread over 0 to 255, so that
    images stay comparable.

    Args:
        path: Named in errors, which are those of :func:`.loading.read_grey`.
        raw: The file.
        max_value: White in 16-bit data without a window or a modality LUT.

    Returns:
        (H, W), uint8 for 8 stored bits without a look-up table or window, else float32 on the scale 0 to 255.
    """
    try:
        import pydicom
        from pydicom.pixels import get_decoder
    except ImportError:
        raise ImportError(
            f"{path}: reading DICOM needs pydicom 3: pip install pydicom python-gdcm (the extra otcxr_mm[dicom])"
        ) from None
    try:
        stream = io.BytesIO(raw)
        if is_deflated(stream):
            raise BrokenImageError(f"{path}: a deflated DICOM is not read: rewrite it with dcmconv +te")
        # without the 128 bytes of preamble only the name says that it is DICOM
        data = pydicom.dcmread(stream, force=raw[128:132] != b"DICM")
        _check(path, data)
        if not hasattr(data.file_meta, "TransferSyntaxUID"):
            data.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian
        syntax = data.file_meta.TransferSyntaxUID
        if syntax.is_compressed:
            decoder = get_decoder(syntax)
            if not decoder.is_available:
                raise ImportError(
                    f"{path}: nothing installed decompresses {syntax.name}: pip install python-gdcm "
                    "(the extra otcxr_mm[dicom])"
                )
        check_frame(path, data)
        return _grey(path, data, max_value)
    except (BrokenImageError, WhiteError, ImportError):
        raise
    except Exception as error:
        # pydicom and the decoders behind it raise anything at damaged files
        reason = f"{type(error).__name__}: {error}".splitlines()[0][:300]
        raise BrokenImageError(f"{path}: damaged, or not a DICOM that pydicom can read ({reason})") from error


def _check(path: str, data: object) -> None:
    """Raises an error unless the header is that of one grey image."""
    if "PixelData" not in data:
        modality = data.get("Modality") or "unknown"
        raise BrokenImageError(f"{path}: DICOM without pixel data (modality {modality}): take it out of the list")
    frames, samples, photometric = data.get("NumberOfFrames") or 1, data.SamplesPerPixel, data.PhotometricInterpretation
    if (int(frames), samples) != (1, 1) or photometric not in ("MONOCHROME1", "MONOCHROME2"):
        raise BrokenImageError(
            f"{path}: DICOM with {frames} frames, {samples} samples per pixel, {photometric}; only one frame of "
            "MONOCHROME1 or MONOCHROME2 can be read: take it out of the list"
        )
    for tag in ("RescaleSlope", "RescaleIntercept", "WindowCenter", "WindowWidth"):
        if not np.isfinite(np.asarray(data.get(tag) or 0, float)).all():
            raise BrokenImageError(f"{path}: {tag} is {data.get(tag)}, not a finite number: take it out of the list")
    if not 0 < data.Rows * data.Columns <= MAX_PIXELS:
        raise BrokenImageError(f"{path}: {data.Columns} x {data.Rows} pixels; at most {MAX_PIXELS:,} can be read")


def _grey(path: str, data: object, max_value: int | None) -> np.ndarray:
    from pydicom.pixels import apply_modality_lut, apply_voi_lut

    stored = data.pixel_array
    low, high = 0, 2**data.BitsStored - 1
    if data.PixelRepresentation:
        low, high = -(2 ** (data.BitsStored - 1)), 2 ** (data.BitsStored - 1) - 1
    values = apply_modality_lut(stored, data)
    rescaled = bool(data.get("ModalityLUTSequence")) or data.get("RescaleSlope", 1) != 1 or data.get("RescaleIntercept")
    if data.get("ModalityLUTSequence"):
        low, high = 0, 2 ** int(data.ModalityLUTSequence[0].LUTDescriptor[2]) - 1
    elif rescaled:
        slope, intercept = float(data.get("RescaleSlope", 1)), float(data.get("RescaleIntercept", 0))
        low, high = low * slope + intercept, high * slope + intercept
    if data.get("VOILUTSequence"):
        values = apply_voi_lut(values, data)
        low, high = 0, 2 ** int(data.VOILUTSequence[0].LUTDescriptor[2]) - 1
    elif data.get("WindowCenter") is not None and data.get("WindowWidth") is not None:
        values = apply_voi_lut(values, data)  # a window's values span the whole range
    elif not rescaled and low == 0:
        if data.BitsStored == 8:
            grey = stored.astype(np.uint8)
            return 255 - grey if data.PhotometricInterpretation == "MONOCHROME1" else grey
        if data.BitsStored == 16:
            max_value = white_of(path, int(stored.max()), max_value)
        high = min(high, max_value or high)
    else:
        low, high = sorted((low, high))  # a negative slope turns them round; a window is spread over them as they are
    if not np.isfinite([low, high, values.min(), values.max()]).all():
        raise BrokenImageError(f"{path}: its rescale, window or look-up table gives values that are not finite")
    values = values.astype(np.float64)
    values -= low
    values *= 255 / (high - low)
    grey = np.clip(values, 0, 255, out=values).astype(np.float32)
    return WHITE - grey if data.PhotometricInterpretation == "MONOCHROME1" else grey
