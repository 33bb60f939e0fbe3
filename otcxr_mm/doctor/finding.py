"""What the doctor says: one finding, and the codes of all problems."""

from __future__ import annotations

from dataclasses import dataclass, field

LEVELS = ("ok", "note", "warning", "error")

# every code that a warning or an error can have; docs/troubleshooting.md has a heading for each
CODES = (
    # Python, and where modules come from
    "python-version",
    "missing-package",
    "shadowed",
    "two-copies",
    "mim-folder",
    # versions and lines of OpenMMLab
    "too-old",
    "both-lines",
    "mixed-lines",
    "changed-files",
    "mmcv-twice",
    "opencv-twice",
    "mmseg-tokeniser",
    "mmseg-mmcv",
    "pkg-resources",
    # torch and its neighbours
    "torchvision-pair",
    "torchvision-build",
    "torchvision-ops",
    "numpy-torch",
    "numpy-broken",
    # imports
    "import-failed",
    "missing-library",
    "import-crashed",
    "import-hangs",
    "registry",
    # GPUs
    "nvidia-smi-fails",
    "driver-old",
    "torch-without-cuda",
    "cuda-unavailable",
    "gpus-hidden",
    "gpu-unsupported",
    "gpu-busy",
    # the machine
    "no-distributed",
    "torchrun-elsewhere",
    "shm-small",
    "open-files",
    "memory-low",
    "work-dir",
    "disk-full",
    "tmpdir",
    # the config
    "config-missing",
    "config-unreadable",
    "unknown-type",
    "needs-package",
    "model-fails",
    "data-missing",
    "checkpoint-missing",
)


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes:
        level: Of ``"ok"``, ``"note"``, ``"warning"``, ``"error"``.
        code: Short name that stays the same; of a problem, a heading of docs/troubleshooting.md.
        message: What was found, in plain words.
        advice: What to do; every problem has one.
        group: Part of the report.
        private: What must not stand in a bug report: paths that the config or the command line names.

    Raises:
        ValueError: If the level is unknown, or a problem has a code that is not in :data:`CODES`, or no advice.
    """

    level: str
    code: str
    message: str
    advice: str = ""
    group: str = ""
    private: tuple = field(default=(), repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.level not in LEVELS:
            raise ValueError(f"level={self.level!r}: one of {', '.join(LEVELS)} expected")
        if self.is_problem and (self.code not in CODES or not self.advice):
            raise ValueError(f"a problem needs a code of CODES and an advice: {self}")

    @property
    def is_problem(self) -> bool:
        """Whether it is a warning or an error."""
        return self.level in ("warning", "error")


def ok(code: str, message: str) -> Finding:
    """What is as it should be."""
    return Finding("ok", code, message)


def note(code: str, message: str, advice: str = "") -> Finding:
    """What is worth knowing, and no problem."""
    return Finding("note", code, message, advice)


def warning(code: str, message: str, advice: str) -> Finding:
    """What may go wrong."""
    return Finding("warning", code, message, advice)


def error(code: str, message: str, advice: str) -> Finding:
    """What does go wrong."""
    return Finding("error", code, message, advice)


def size_text(count: float) -> str:
    """Bytes as people read them."""
    if abs(count) < 1024:
        return f"{count:.0f} B"
    for unit in ("KiB", "MiB", "GiB"):
        count /= 1024
        if abs(count) < 1024:
            return f"{count:.1f} {unit}"
    return f"{count / 1024:.2f} TiB"
