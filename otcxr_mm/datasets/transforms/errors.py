"""What is wrong with an image file; a data set may skip such images in training."""


class BrokenImageError(ValueError):
    """An image that cannot be read; the message names its path."""


class MissingImageError(BrokenImageError, FileNotFoundError):
    """An image that is not there; the message names its path."""
