"""One HTML file that holds everything: text, tables and pictures; light and dark, wide and narrow; no network."""

import base64
import io
import os
from collections.abc import Sequence
from html import escape

from ..utils.files import write_whole

_STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #ffffff; --soft: #59636e; --line: #d5dae0; --mark: #0b6e4f; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e9ed; --paper: #14171b; --soft: #a2abb5; --line: #363c44; --mark: #57c99d; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 60rem; color: var(--ink); background: var(--paper);
  font: 1rem/1.55 system-ui, sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .5rem; }
h2 { font-size: 1.15rem; margin: 2.2rem 0 .4rem; }
p { margin: .4rem 0; max-width: 44rem; }
.scroll { overflow-x: auto; margin: .8rem 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .7rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
th { font-weight: 600; } td.best { font-weight: 700; color: var(--mark); }
figure { margin: 1rem 0; } figure .scroll { margin: 0; }
img { display: block; width: 100%; min-width: 38rem; height: auto; border-radius: 4px; }
figure.card { background: #fff; padding: .5rem; border: 1px solid var(--line); border-radius: 6px; }
figcaption { color: var(--soft); font-size: .92rem; max-width: 44rem; margin-top: .3rem; }
figure.card figcaption { color: #59636e; }
"""


class Report:
    """Collects blocks, in order.

    Args:
        title: Of the page.
        folder: Where each picture is written as a file too, made if needed; None: nowhere.
    """

    def __init__(self, title: str, folder: str | os.PathLike | None = None) -> None:
        self.folder = folder
        self.title, self.blocks = title, [f"<h1>{escape(title)}</h1>"]

    def heading(self, text: str) -> None:
        """A heading."""
        self.blocks.append(f"<h2>{escape(text)}</h2>")

    def text(self, text: str) -> None:
        """A paragraph."""
        self.blocks.append(f"<p>{escape(text)}</p>")

    def table(self, head: Sequence[str], rows: Sequence[Sequence[str]], best: Sequence[tuple[int, int]] = ()) -> None:
        """A table of `head` and `rows`; `best` are (row, column) of cells to mark."""
        cells = [
            "".join(f"<td{' class=best' if (r, c) in best else ''}>{escape(x)}</td>" for c, x in enumerate(row))
            for r, row in enumerate(rows)
        ]
        header = "".join(f"<th>{escape(x)}</th>" for x in head)
        body = "".join(f"<tr>{row}</tr>" for row in cells)
        self.blocks.append(
            f'<div class="scroll"><table><thead><tr>{header}</tr></thead><tbody>{body}</tbody></table></div>'
        )

    def figure(self, name: str, figure: object, caption: str, dpi: int = 110, photograph: bool = False) -> None:
        """A figure of matplotlib, and closes it.

        Args:
            name: Of the file, without suffix.
            figure: The figure.
            caption: What it shows.
            dpi: Resolution.
            photograph: Radiographs: stored as JPEG, which is smaller, on a white card.
        """
        from matplotlib import pyplot as plt

        buffer = io.BytesIO()
        if photograph:
            figure.savefig(buffer, format="jpg", dpi=dpi, pil_kwargs={"quality": 88})
        else:
            figure.savefig(buffer, format="png", dpi=dpi, transparent=True)
        plt.close(figure)
        kind, extra = ("jpeg", ' class="card"') if photograph else ("png", "")
        if self.folder is not None:
            write_whole(os.path.join(self.folder, f"{name}.{kind}"), buffer.getvalue())
        data = base64.b64encode(buffer.getvalue()).decode()
        picture = f'<img alt="{escape(caption)}" src="data:image/{kind};base64,{data}">'
        self.blocks.append(
            f'<figure{extra}><div class="scroll">{picture}</div><figcaption>{escape(caption)}</figcaption></figure>'
        )

    def html(self) -> str:
        """The page."""
        body = "\n".join(self.blocks)
        return (
            f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(self.title)}</title>\n'
            f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<style>{_STYLE}</style></head>\n'
            f"<body>\n{body}\n</body></html>\n"
        )
