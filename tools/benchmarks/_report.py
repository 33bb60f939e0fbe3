"""Shared by all benchmarks: paired timing, and rows of {metric, target, value, pass}.

python tools/benchmarks/_report.py FOLDER    # prints the rows of all files of the folder as one table
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path


def arguments(description: str) -> argparse.ArgumentParser:
    """A parser with `--out FILE`."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--out", metavar="FILE", help="write the rows as JSON")
    return parser


def paired(
    functions: dict[str, Callable[[], object]], rounds: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, float]:
    """Median seconds of each function; they run in turn, and the first round is not counted."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    for counted in range(rounds + 1):
        for name, function in functions.items():
            start = clock()
            function()
            if counted:
                times[name].append(clock() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def row(metric: str, value: float, at_most: float | None = None, at_least: float | None = None) -> dict:
    """Makes a row, which passes if it has no target."""
    target = f"<= {at_most}" if at_most is not None else f">= {at_least}" if at_least is not None else None
    passed = bool((at_most is None or value <= at_most) and (at_least is None or value >= at_least))
    return {"metric": metric, "target": target, "value": float(f"{value:.3g}"), "pass": passed}


def finish(rows: list[dict], out: str | None) -> None:
    """Prints and writes the rows; exits with status 1 if one missed its target."""
    for r in rows:
        print(
            f"{'ok  ' if r['pass'] else 'FAIL'} {r['metric']}: {r['value']}{' ' * bool(r['target'])}{r['target'] or ''}"
        )
    if out:
        with open(out, "w") as stream:
            json.dump(rows, stream, indent=2)
    raise SystemExit(not all(r["pass"] for r in rows))


def table(folder: Path) -> str:
    """The rows of all benchmarks as Markdown."""
    lines = ["| benchmark | metric | target | value | |", "| --- | --- | --- | ---: | --- |"]
    for file in sorted(folder.glob("*.json")):
        for r in json.loads(file.read_text()):
            missed = "" if r["pass"] else "missed"
            lines.append(f"| {file.stem} | {r['metric']} | {r['target'] or ''} | {r['value']} | {missed} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table(Path(sys.argv[1])))
