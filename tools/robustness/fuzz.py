"""Reads damaged and made-up files: images, DICOM, tables, records of tests, checkpoints.

    python tools/robustness/fuzz.py --cases 10000 --seed 0

Each case is read, or refused with an error that names the file; anything else is printed with its seed (status 1): an
exception of another kind, a case of more than 20 seconds, a process or a connection that was started, a file that was
written, or more memory than docs/security.md states for an image.
"""

import argparse
import json
import random
import re
import signal
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from formats import FORMATS

SECONDS = 20
MOST = 3_200  # MB: docs/security.md
FORBIDDEN = ("os.system", "subprocess.Popen", "os.exec", "os.fork", "socket.connect", "os.remove", "os.rename")
# what a byte of a header may become, and a number
BYTES = (0, 1, 2, 0x7F, 0x80, 0xFE, 0xFF)
NUMBERS = ("0", "-1", "1", "nan", "inf", "-inf", "1e308", "1e-320", "65536", "4294967296", "1,5", "", "x", "٣")

_forbidden: list[str] = []


def audit(event: str, args: tuple) -> None:
    """Notes what no reader does; a hook of `sys.addaudithook`."""
    if event in FORBIDDEN or (event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+")):
        _forbidden.append(f"{event}{args!r:.100}")


def mutated(draw: random.Random, data: bytes) -> bytes:
    """Bytes with one to four changes, more often near their beginning, and of numbers in text."""
    for _ in range(draw.randint(1, 4)):
        at = draw.randrange(min(len(data), draw.choice((64, 512, len(data)))) or 1) if data else 0
        numbers = list(re.finditer(rb"\d+", data[:4096]))
        match draw.randrange(7):
            case 0:
                data = data[:at] + bytes([data[at] ^ 1 << draw.randrange(8)] if data else b"") + data[at + 1 :]
            case 1:
                data = data[:at] + bytes([draw.choice(BYTES)]) * draw.choice((1, 2, 4)) + data[at + 1 :]
            case 2:
                data = data[:at] if draw.random() < 0.3 else data[: max(at, len(data) // 2)]
            case 3:
                data = data[:at] + draw.randbytes(draw.choice((1, 4, 100))) + data[at:]
            case 4:
                data = data[:at] + data[at : at + 50] * draw.choice((2, 100)) + data[at + 50 :]
            case 5:
                data = data[:at] + data[at + draw.choice((1, 4, 50)) :]
            case 6 if numbers:
                found = draw.choice(numbers)
                data = data[: found.start()] + draw.choice(NUMBERS).encode() + data[found.end() :]
    return data


def fault_of(read: Callable[[Path], object], path: Path) -> str | None:
    """What is wrong with how a file is read; None if it is read, or refused by its name."""
    _forbidden.clear()
    signal.alarm(SECONDS)
    try:
        read(path)
    except (ValueError, FileNotFoundError) as error:
        if str(path.parent) not in str(error):
            return f"names no file: {error!r}"
    except BaseException as error:
        return f"raises {error!r}"
    finally:
        signal.alarm(0)
    return f"does {_forbidden[0]}" if _forbidden else None


def peak() -> int:
    """The most memory that this process has taken, in MB."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) // 1000


def run(cases: int, seed: int, folder: Path) -> tuple[Counter, list[str]]:
    """Reads so many cases; returns how many there were of each format, and the faults."""
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGALRM, _too_long)
    samples = {name: make(folder / "samples") for name, (make, _) in FORMATS.items()}
    counts, faults, before = Counter(), [], peak()
    for case in range(cases):
        draw = random.Random(f"{seed} {case}")
        name = draw.choice(list(FORMATS))
        sample = draw.choice(samples[name])
        path = folder / name / sample.name
        path.parent.mkdir(exist_ok=True)
        for other in samples[name]:  # a record is read with its predictions
            path.with_name(other.name).write_bytes(other.read_bytes())
        path.write_bytes(mutated(draw, sample.read_bytes()))
        counts[name] += 1
        if fault := fault_of(FORMATS[name][1], path):
            faults.append(f"--seed {seed}, case {case} ({name}, {sample.name}): {fault[:500]}")
        if peak() > before + MOST:
            return counts, [*faults, f"--seed {seed}, case {case} ({name}, {sample.name}): {peak() - before} MB"]
    return counts, faults


def _too_long(*_: object) -> None:
    raise TimeoutError(f"not done after {SECONDS} s")


def main() -> int:
    """Runs the cases, and prints what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    before = peak()
    with tempfile.TemporaryDirectory() as folder:
        sys.addaudithook(audit)
        counts, faults = run(args.cases, args.seed, Path(folder))
    print("\n".join(faults))
    print(json.dumps({"cases": counts, "faults": len(faults), "peak_mb": peak() - before}))
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
