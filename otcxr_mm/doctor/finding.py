"""What the doctor reports. Python 3.8 can read this file."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """A problem, and the remedy; its name is a heading of docs/troubleshooting.md."""

    name: str
    problem: str
    remedy: str
