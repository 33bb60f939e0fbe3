"""What is wrong with an image file, or with how it is read; a data set may skip broken images in training."""


class BrokenImageError(ValueError):
    """An image that cannot be read; the message names its path."""


class WhiteError(ValueError):
    """A pixel above `max_value`: the setting is wrong, not the image, which therefore is never skipped."""


class MissingImageError(BrokenImageError, FileNotFoundError):
    """An image that is not there; the message names its path."""
