"""DICOM files for tests."""

import numpy as np
import pytest


def write_dicom(path, pixels, bits=None, photometric="MONOCHROME2", syntax=None, **tags):
    """A DICOM file of (H, W) integers; `tags` set or, with None, remove elements of its header."""
    pydicom = pytest.importorskip("pydicom")
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    pixels = np.asarray(pixels)
    allocated = 8 * pixels.dtype.itemsize
    meta = pydicom.dataset.FileMetaDataset()
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1"
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = pydicom.Dataset()
    data.file_meta = meta
    data.SOPClassUID, data.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    data.Modality = "CR"
    data.PhotometricInterpretation = photometric
    data.SamplesPerPixel = 1
    data.Rows, data.Columns = pixels.shape[:2]
    data.BitsAllocated, data.BitsStored = allocated, bits or allocated
    data.HighBit = data.BitsStored - 1
    data.PixelRepresentation = int(pixels.dtype.kind == "i")
    data.PixelData = pixels.tobytes()
    data["PixelData"].VR = "OB" if allocated == 8 else "OW"
    if syntax is not None:
        data.compress(syntax, pixels, generate_instance_uid=False)
    for name, value in tags.items():
        if value is None:
            delattr(data, name)
        else:
            setattr(data, name, value)
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path, enforce_file_format=True)
    return path
