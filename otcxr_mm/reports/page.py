"""One HTML file that holds everything: text, tables and pictures; light and dark, wide and narrow; no network."""

import base64
import os
from collections.abc import Collection, Sequence
from html import escape
from pathlib import Path

_STYLE = """
:root { color-scheme: light dark; }
body { margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 60rem; font: 1rem/1.55 system-ui, sans-serif; }
div { overflow-x: auto; }
table { border-collapse: collapse; }
th, td { padding: .3rem .7rem; border-bottom: 1px solid #8886; text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
td.best { font-weight: 700; color: #1a9a6c; }
figure { margin: 1rem 0; padding: .5rem; color: #59636e; background: #fff; }
img { display: block; width: 100%; min-width: 38rem; }
"""


class Report:
    """Collects blocks, in order.

    Args:
        title: Of the page.
        folder: Where each picture is written as a file too, made if needed.
    """

    def __init__(self, title: str, folder: str | os.PathLike) -> None:
        self.folder, self.title, self.blocks = Path(folder), title, [f"<h1>{escape(title)}</h1>"]

    def heading(self, text: str) -> None:
        """A heading."""
        self.blocks.append(f"<h2>{escape(text)}</h2>")

    def text(self, text: str) -> None:
        """A paragraph."""
        self.blocks.append(f"<p>{escape(text)}</p>")

    def table(self, head: Sequence[str], rows: Sequence[Sequence[str]], best: Collection[tuple[int, int]] = ()) -> None:
        """A table of `head` and `rows`; `best` are (row, column) of cells to mark."""
        lines = ["".join(f"<th>{escape(text)}</th>" for text in head)]
        for r, row in enumerate(rows):
            marks = (" class=best" if (r, c) in best else "" for c in range(len(row)))
            lines.append("".join(f"<td{mark}>{escape(text)}</td>" for mark, text in zip(marks, row, strict=True)))
        body = "".join(f"<tr>{line}</tr>" for line in lines)
        self.blocks.append(f"<div><table>{body}</table></div>")

    def figure(self, name: str, figure: object, caption: str, photograph: bool = False) -> None:
        """A figure of matplotlib, and closes it.

        Args:
            name: Of the file, without suffix.
            figure: The figure.
            caption: What it shows.
            photograph: Radiographs: stored as JPEG, which is smaller.
        """
        from matplotlib import pyplot as plt

        file = self.folder / f"{name}.{'jpeg' if photograph else 'png'}"
        self.folder.mkdir(parents=True, exist_ok=True)
        figure.savefig(file, dpi=110)
        plt.close(figure)
        source = f"data:image/{file.suffix[1:]};base64,{base64.b64encode(file.read_bytes()).decode()}"
        picture = f'<div><img alt="{escape(caption)}" src="{source}"></div>'
        self.blocks.append(f"<figure>{picture}<figcaption>{escape(caption)}</figcaption></figure>")

    def html(self) -> str:
        """The page."""
        head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(self.title)}'
        return f'<!doctype html><html lang="en">{head}</title><style>{_STYLE}</style>\n' + "\n".join(self.blocks)
