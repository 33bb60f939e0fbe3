"""What MMEngine's log of one start says: warnings, the error that ended it, and how far training came."""

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from ..utils.redaction import without_places

_ENTRY = re.compile(r"^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d - \S+ - (\w+) - ", re.M)
_WHERE = re.compile(r"^\S+ - \S+ - \d+ - ")  # MMEngine puts the place in the code before an error
_PROGRESS = re.compile(r"(?:Epoch\(train\)\s*\[(\d+)\]|Iter\(train\)\s*)\[\s*(\d+)/(\d+)\]")
_ENVIRONMENT = re.compile(r"^ +(Python|PyTorch|TorchVision|OpenCV|MMEngine|GPU [\d,]+): ([^\n]+)$", re.M)
# MMEngine's own, in every run, about its code
_NOISE = ('"FileClient" will be', '"HardDiskBackend" is', "resumed key: ")


@dataclass
class Log:
    """What a log says; messages name no path, file or address.

    Attributes:
        warnings: Each message, and how often it was logged.
        error: The last line of the last error; None without one.
        per_epoch: Iterations per epoch; None if unknown.
        last: Epoch (None if training counts iterations only), iteration and number of iterations of the last line of
            training; None without one.
        environment: Versions, from the table at the beginning.
    """

    warnings: Counter[str] = field(default_factory=Counter)
    error: str | None = None
    per_epoch: int | None = None
    last: tuple[int | None, int, int] | None = None
    environment: dict[str, str] = field(default_factory=dict)


def read_log(file: Path) -> Log:
    """Reads a log; an empty :class:`Log` if there is no such file."""
    log = Log()
    if not file.is_file():
        return log
    text = file.read_text(encoding="utf-8", errors="replace")
    log.environment = {name: without_places(value) for name, value in _ENVIRONMENT.findall(text)}
    parts = _ENTRY.split(text)  # what is before the first entry, then level and message in turn
    for level, message in zip(parts[1::2], parts[2::2], strict=True):
        if level == "WARNING" and not message.startswith(_NOISE):
            log.warnings[without_places(" ".join(message.split()))] += 1
        elif level in ("ERROR", "CRITICAL"):
            log.error = without_places(_WHERE.sub("", message).strip().splitlines()[-1])
    for epoch, iteration, length in _PROGRESS.findall(text):
        log.last = (int(epoch) if epoch else None, int(iteration), int(length))
        log.per_epoch = int(length) if epoch else None
    return log
