"""What is wrong with an image file, or with how it is read; a data set may skip broken images in training."""

# more are refused before they are decoded; a detector of 43 cm at 0.1 mm has 18.5 million
MAX_PIXELS = 100_000_000
# what they take at most, 16 bits in four channels; a larger file is not even read
MAX_BYTES = 8 * MAX_PIXELS


class BrokenImageError(ValueError):
    """An image that cannot be read; the message names its path.

    Attributes:
        sample_idx: The image's index in the data set, if it is not the one that was asked for.
    """

    sample_idx: int | None = None


class WhiteError(ValueError):
    """An image that `max_value` does not fit: the setting is wrong, not the image, which is therefore never skipped."""


class MissingImageError(BrokenImageError, FileNotFoundError):
    """An image that is not there; the message names its path."""


def white_of(path: str, brightest: int, max_value: int | None) -> int:
    """The value that counts as white in an image of 16 bits: `max_value`, by default 65535.

    Raises:
        WhiteError: If `brightest` is above `max_value`; or, without one, from 256 to 4095.
    """
    if max_value is None and 255 < brightest < 4096:
        raise WhiteError(
            f"{path}: 16 bits, but no pixel above {brightest}. 12-bit data need LoadCXR(max_value=4095), or they are "
            "nearly black; if the image really is that dark, say max_value=65535"
        )
    max_value = 65535 if max_value is None else max_value
    if brightest > max_value:
        raise WhiteError(f"{path}: has a pixel of {brightest}, more than max_value={max_value}")
    return max_value
