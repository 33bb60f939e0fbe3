"""Small files that become large, and pixels that are no numbers."""

import struct
import zlib

import cv2
import numpy as np
import pytest

from otcxr_mm.datasets.dicom_headers import read_headers
from otcxr_mm.datasets.records import Records
from otcxr_mm.datasets.transforms.errors import BrokenImageError
from otcxr_mm.datasets.transforms.loading import read_grey
from tests.datasets.dicoms import write_dicom

SMALL, SIDE = np.zeros((64, 64), np.uint8), 10_100  # 102 million pixels
# reads each file, and prints by how many MB the process grew meanwhile, and what was said
READ = """
import sys
import cv2, pydicom.pixels, PIL.Image
from otcxr_mm.datasets.transforms.loading import read_grey
def field(name):
    return int(next(line for line in open("/proc/self/status") if line.startswith(name)).split()[1]) // 1000
for file in sys.argv[1:]:
    open("/proc/self/clear_refs", "w").write("5")
    before = field("VmRSS")
    try:
        said = read_grey(file, 65535).shape
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
    print(field("VmHWM") - before, said, sep="\\t")
"""


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(side, text=b""):
    """A grey PNG; Pillow refuses to open one with text that is no text, and OpenCV does not mind."""
    head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    rows = zlib.compress(bytes((side + 1) * side), 1)
    parts = (chunk(b"IHDR", head), text and chunk(b"zTXt", text), chunk(b"IDAT", rows), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def hdr(side):
    """Radiance: run-length encoded rows of zeros."""
    row = struct.pack(">BBH", 2, 2, side) + (b"\xff\0" * (side // 127) + bytes([128 + side % 127, 0])) * 4
    return f"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y {side} +X {side}\n".encode() + row * side


def encapsulated(path, syntax, frame):
    """A DICOM of 64 x 64 pixels whose compressed frame is another."""
    pydicom = pytest.importorskip("pydicom")
    write_dicom(path, SMALL)
    data = pydicom.dcmread(path)
    data.file_meta.TransferSyntaxUID = syntax
    data.PixelData = pydicom.encaps.encapsulate([frame])
    data["PixelData"].is_undefined_length, data["PixelData"].VR = True, "OB"
    data.save_as(path)


def rle(size):
    """A frame of one segment that unpacks to `size` zeros."""
    return struct.pack("<16I", 1, 64, *[0] * 14) + b"\x81\0" * (size // 128)


def deflated(path, size):
    pydicom = pytest.importorskip("pydicom")
    write_dicom(path, SMALL)
    data = pydicom.dcmread(path)
    data.file_meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
    data.PatientID = "A"
    data.PixelData = bytes(size)
    data.save_as(path)


def tiled(path):
    """A TIFF of 64 x 64 pixels in one tile that is far larger."""
    values = {256: 64, 257: 64, 258: 8, 259: 1, 262: 1, 277: 1, 322: 2**20, 323: 2**9, 324: 200, 325: 4096}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in values.items())
    path.write_bytes((b"II*\0\x08\0\0\0" + struct.pack("<H", len(values)) + entries).ljust(200, b"\0") + bytes(4096))


def test_a_small_file_does_not_become_large(tmp_path, python):
    pydicom = pytest.importorskip("pydicom")
    big = np.zeros((SIDE, SIDE), np.uint8)
    (tmp_path / "a.png").write_bytes(png(SIDE))
    (tmp_path / "text.png").write_bytes(png(SIDE, b"Comment\0\0" + zlib.compress(bytes(10**7))))
    (tmp_path / "a.hdr").write_bytes(hdr(SIDE))
    cv2.imwrite(str(tmp_path / "a.jpg"), big)
    encapsulated(tmp_path / "jpeg.dcm", pydicom.uid.JPEGBaseline8Bit, (tmp_path / "a.jpg").read_bytes())
    encapsulated(tmp_path / "rle.dcm", pydicom.uid.RLELossless, rle(200_000_000))
    deflated(tmp_path / "deflated.dcm", 200_000_000)
    tiled(tmp_path / "a.tif")
    with open(tmp_path / "sparse.png", "wb") as stream:
        stream.truncate(10**11)
    del big
    files = sorted(tmp_path.iterdir())
    for file, line in zip(files, python("-c", READ, *files).stdout.splitlines()[-len(files) :], strict=True):
        growth, said = line.split("\t")
        assert said.startswith(f"BrokenImageError: {file}: "), line
        assert int(growth) < 50 + 2 * min(file.stat().st_size, 10**8) / 10**6, line


def test_a_png_with_damaged_text_is_read(tmp_path):
    (tmp_path / "a.png").write_bytes(png(64, b"Comment\0\0" + zlib.compress(bytes(10**7))))
    np.testing.assert_array_equal(read_grey(str(tmp_path / "a.png")), SMALL)


@pytest.mark.parametrize(
    "name", ["JPEGBaseline8Bit", "JPEGLosslessSV1", "JPEGLSLossless", "JPEG2000Lossless", "RLELossless"]
)
def test_the_size_of_a_compressed_frame_is_that_of_the_header(tmp_path, name):
    pydicom, gdcm = pytest.importorskip("pydicom"), pytest.importorskip("gdcm")
    pixels = np.random.default_rng(0).integers(0, 256, (40, 64), np.uint8)
    write_dicom(tmp_path / "raw.dcm", pixels)
    change, reader = gdcm.ImageChangeTransferSyntax(), gdcm.ImageReader()
    reader.SetFileName(str(tmp_path / "raw.dcm"))
    assert reader.Read()
    kind = {"JPEGBaseline8Bit": "JPEGBaselineProcess1", "JPEGLosslessSV1": "JPEGLosslessProcess14_1"}.get(name, name)
    change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, kind)))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer = gdcm.ImageWriter()
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    writer.SetFileName(str(tmp_path / "a.dcm"))
    assert writer.Write()
    np.testing.assert_allclose(read_grey(str(tmp_path / "a.dcm")), pixels, atol=200 if "Base" in name else 0)
    data = pydicom.dcmread(tmp_path / "a.dcm")
    data.Rows = 20
    data.save_as(tmp_path / "a.dcm")
    with pytest.raises(BrokenImageError, match=r"a.dcm: .*another size than its header's 64 x 20"):
        read_grey(str(tmp_path / "a.dcm"))


def test_several_images_are_not_read_as_one(tmp_path):
    write_dicom(tmp_path / "a.dcm", SMALL, PixelData=bytes(3 * SMALL.size))
    with pytest.raises(BrokenImageError, match="a.dcm: pixel data of 3 images; only one can be read"):
        read_grey(str(tmp_path / "a.dcm"))


@pytest.mark.parametrize(
    "tags",
    [
        dict(RescaleSlope="nan"),
        dict(RescaleIntercept="nan"),
        dict(RescaleSlope="1e308", RescaleIntercept="1e308"),
        dict(RescaleSlope="inf"),
        dict(WindowCenter="nan", WindowWidth=10),
        dict(WindowCenter=10, WindowWidth="nan"),
        dict(WindowCenter=10, WindowWidth="inf"),
        dict(WindowCenter="1e308", WindowWidth="1e308", RescaleSlope="1e308"),
        dict(RescaleSlope=0),
        dict(WindowCenter=10, WindowWidth=0),
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore")
def test_pixels_that_are_no_numbers_are_an_error(tmp_path, tags):
    import pydicom

    pixels = np.arange(4096, dtype=np.uint16).reshape(64, 64)
    with pydicom.config.disable_value_validation():
        write_dicom(tmp_path / "a.dcm", pixels, 12, **tags)
    with pytest.raises(BrokenImageError, match=r"a\.dcm: "):
        print(read_grey(str(tmp_path / "a.dcm")))


def test_headers_of_a_deflated_file_say_nothing(tmp_path):
    deflated(tmp_path / "a.dcm", 1000)
    records = Records(np.array(["a.dcm"]))
    read_headers(records, tmp_path, "test")
    assert records.patient.tolist() == [""]
