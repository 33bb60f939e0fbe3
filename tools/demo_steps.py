"""Steps that are run once: a finished one is skipped, an interrupted one resumes, a changed one starts over."""

import hashlib
import json
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from mmengine.config import Config

from otcxr_mm import __version__
from otcxr_mm.utils.files import write_whole


class Steps:
    """Runs steps, each in a folder of its own.

    Args:
        work: Folder for the steps' folders.
        expected: Seconds of each step on some machine, by name; what is left is forecast from them and from the steps
            that are done.

    Attributes:
        seconds: Duration of each step, by name.
    """

    def __init__(self, work: Path, expected: Mapping[str, float]) -> None:
        self.work, self.expected, self.number = work, expected, 0
        self.terminal = sys.stdout
        self.seconds: dict[str, float] = {}
        self._keys: dict[str, str] = {}

    def say(self, text: str) -> None:
        """Prints to the terminal, also while the output is redirected to a log."""
        print(text, file=self.terminal, flush=True)

    def announce(self, title: str) -> None:
        """Prints the number and title of the next step, and about how long it and those after it take."""
        self.number += 1
        left = self.left()
        self.say(f"[{self.number}/{len(self.expected)}] {title}" + (f"   ({left} left)" if left else ""))

    def left(self) -> str:
        """About how long the steps that are not done take on this machine; empty before the first one is done."""
        done = sum(self.expected[name] for name in self.seconds)
        if not done:
            return ""
        seconds = sum(self.seconds.values()) / done * (sum(self.expected.values()) - done)
        return f"about {seconds / 60:.0f} min" if seconds >= 90 else f"about {max(10, round(seconds, -1)):.0f} s"

    def run(self, name: str, title: str, cfg: Config, function: Callable[[Config], dict], after: str = "") -> dict:
        """Runs a step unless it is done.

        Args:
            name: Name of its folder.
            title: Text of its line.
            cfg: Its config; a step with another config or version of the package starts over.
            function: Takes the config and returns the result.
            after: Step whose result this one uses; if that one starts over, so does this one.
        """
        folder = self.work / name
        cfg.work_dir, cfg.experiment_name = str(folder), f"{name}_{self.work.name}"
        key = hashlib.sha256(f"{__version__}\n{self._keys.get(after)}\n{cfg.pretty_text}".encode()).hexdigest()
        self._keys[name] = key
        mark, result = folder / "step.json", folder / "result.json"
        if folder.is_dir() and (not mark.is_file() or json.loads(mark.read_text())["key"] != key):
            shutil.rmtree(folder)
        if result.is_file():
            record = json.loads(result.read_text())
            self.announce(f"{title}: done before")
        else:
            write_whole(mark, json.dumps({"key": key}).encode())
            self.announce(f"{title} ...")
            start = time.time()
            record = {"result": function(cfg), "seconds": round(time.time() - start, 1)}
            write_whole(result, (json.dumps(record, indent=2) + "\n").encode())
        self.seconds[name] = record["seconds"]
        return record["result"]
