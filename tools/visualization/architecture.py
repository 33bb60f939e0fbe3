"""Draws the rooms of the package and what they import: tools/visualization/architecture.py [--out FILE].

The layers are those of [tool.importlinter] in pyproject.toml, the arrows are the imports in the code.
"""

import argparse
from pathlib import Path
from textwrap import wrap

import grimp
import tomllib

from otcxr_mm.utils.files import write_whole

ROOT = Path(__file__).resolve().parents[2]
PURPOSE = {
    "cli": "the command otcxr, one file per command",
    "doctor": "what is wrong with an installation",
    "reports": "tables and pages from finished runs",
    "apis": "trained models asked about images",
    "engine": "hooks, loops, the record of a run",
    "visualization": "pictures of views, plans, features",
    "models": "the method: CV-SIM, head, losses",
    "datasets": "radiographs, splits, transforms",
    "evaluation": "metrics and their intervals",
    "backbones": "save, load, convert a backbone",
    "ops": "transport, statistics, geometry on tensors; torch only",
    "utils": "files, configs, checkpoints",
    "registry": "names for configs",
    "version": "the version",
}
WIDTH, GUTTER, GAP, PAD = 440, 66, 26, 8
LANES = ("#c2410c", "#0f766e", "#6d28d9", "#1d4ed8", "#a16207", "#be185d")
STYLE = """
.ground { fill: #ffffff } .box { fill: #eef2f6; stroke: #51606e } text { fill: #15202b }
.quiet { fill: #4b5a68 } .arrow { stroke: #51606e } #head path { fill: #51606e }
@media (prefers-color-scheme: dark) {
  .ground { fill: #15191e } .box { fill: #242c35; stroke: #93a3b3 } text { fill: #eef2f6 }
  .quiet { fill: #b6c2cd } .arrow { stroke: #93a3b3 } #head path { fill: #93a3b3 } .lane { filter: brightness(1.9) }
}"""


def layers() -> list[list[str]]:
    """Rooms from the top layer to the lowest."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    contract = next(c for c in settings["contracts"] if c["type"] == "layers")
    return [layer.split(" | ") for layer in contract["layers"]]


def layer_imports(rows: list[list[str]]) -> list[tuple[int, int]]:
    """Pairs of layers of which the first imports the second."""
    graph = grimp.build_graph("otcxr_mm", exclude_type_checking_imports=True, cache_dir=None)

    def imports(a: str, b: str) -> bool:
        names = {"importer": f"otcxr_mm.{a}", "imported": f"otcxr_mm.{b}"}
        return graph.direct_import_exists(**names, as_packages=True)

    pairs = [(i, j) for i in range(len(rows)) for j in range(i + 1, len(rows))]
    return [(i, j) for i, j in pairs if any(imports(a, b) for a in rows[i] for b in rows[j])]


def lines_of(room: str) -> int:
    """Lines of code of a room."""
    folder = ROOT / "otcxr_mm" / room
    files = folder.rglob("*.py") if folder.is_dir() else [folder.with_suffix(".py")]
    return sum(len(file.read_text().splitlines()) for file in files)


def box(room: str, x: float, y: float, width: float) -> tuple[str, float]:
    """A room as a box, and its height."""
    phrase = wrap(PURPOSE[room], int((width - 2 * PAD) / 6.1))
    height = 28 + 15 * len(phrase)
    parts = [
        f'<rect class="box" x="{x}" y="{y}" width="{width}" height="{height}" rx="5"/>',
        f'<text x="{x + PAD}" y="{y + 18}" font-size="15" font-weight="bold">{room}</text>',
        f'<text class="quiet" x="{x + width - PAD}" y="{y + 18}" font-size="12" text-anchor="end">'
        f"{lines_of(room):,}</text>",
    ]
    for i, line in enumerate(phrase):
        parts.append(f'<text x="{x + PAD}" y="{y + 35 + 15 * i}" font-size="12.5">{line}</text>')
    return "\n".join(parts), height


def layer(rooms: list[str], y: float) -> tuple[str, float]:
    """The boxes of a layer, two in a line, and its height."""
    parts, top = [], y
    for pair in (rooms[i : i + 2] for i in range(0, len(rooms), 2)):
        width = (WIDTH - GUTTER - PAD - (len(pair) - 1) * PAD) / len(pair)
        boxes = [box(room, GUTTER + i * (width + PAD), y, width) for i, room in enumerate(pair)]
        parts += [text for text, _ in boxes]
        y += max(height for _, height in boxes) + PAD
    return "\n".join(parts), y - PAD - top


def lane(number: int, start: float, ends: list[float]) -> str:
    """A line beside the boxes from a layer to those below it that are not the next one."""
    x, colour = 8 + 10 * number, LANES[number]
    parts = [f'<path d="M{GUTTER} {start} H{x} V{ends[-1]}" fill="none" stroke="{colour}" stroke-width="1.6"/>']
    for y in ends:
        parts.append(f'<path d="M{x} {y} H{GUTTER - 7}" stroke="{colour}" stroke-width="1.6"/>')
        parts.append(f'<path d="M{GUTTER - 8} {y - 4} L{GUTTER} {y} L{GUTTER - 8} {y + 4}z" fill="{colour}"/>')
    return f'<g class="lane">{"".join(parts)}</g>'


def draw() -> str:
    """The picture as SVG."""
    rows = layers()
    imports = layer_imports(rows)
    parts, tops, bottoms, y = [], [], [], 12.0
    for rooms in rows:
        text, height = layer(rooms, y)
        parts.append(text)
        tops.append(y)
        bottoms.append(y + height)
        y += height + GAP
    middle = (WIDTH + GUTTER) / 2
    for i, j in imports:
        if j == i + 1:
            ends = f'y1="{bottoms[i] + 2}" y2="{tops[j] - 2}"'
            parts.append(f'<line class="arrow" x1="{middle}" x2="{middle}" {ends} marker-end="url(#head)"/>')
    # each lane arrives at a height of its own
    for number, i in enumerate(sorted({i for i, j in imports if j > i + 1})):
        far = [tops[j] + 12 + 6 * number for k, j in imports if k == i and j > i + 1]
        parts.append(lane(number, bottoms[i] - 10, far))
    names = ", ".join(" and ".join(rooms) for rooms in rows)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y - GAP + 12:g}" role="img" '
        'aria-labelledby="title desc" font-family="Helvetica, Arial, sans-serif">\n'
        '<title id="title">The rooms of otcxr_mm</title>\n'
        f'<desc id="desc">Layers from top to bottom: {names}. A layer imports only from layers below it.</desc>\n'
        f"<style>{STYLE}</style>\n"
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        '<path d="M0 0L8 4L0 8z"/></marker></defs>\n<rect class="ground" width="100%" height="100%" rx="8"/>\n'
    )
    return head + "\n".join(parts) + "\n</svg>\n"


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.split(":")[0])
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "pictures" / "architecture.svg")
    write_whole(parser.parse_args().out, draw().encode())


if __name__ == "__main__":
    main()
