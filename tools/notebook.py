"""Runs a notebook in an empty folder, and writes its outputs into it: python tools/notebook.py docs/tutorial.ipynb.

Needs no Jupyter. Of its magic, it knows lines that begin with an exclamation mark: shell commands, in which {name}
stands for a variable. The last expression of a cell is shown, a figure of matplotlib as a picture.
"""

import argparse
import ast
import base64
import io
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("notebook", type=Path)
    path = parser.parse_args().notebook.absolute()
    notebook = json.loads(path.read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        os.environ["PYTHONPATH"] = str(ROOT)
        run(notebook)
        os.chdir(path.parent)
    path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def shell(command: str) -> None:
    """Runs a command with the package of this checkout, and prints its output; an error ends the notebook."""
    command = re.sub(r"^otcxr ", lambda _: f'"{sys.executable}" -m otcxr_mm ', command)
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{command} ended with {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    print(done.stdout, end="")


def run(notebook: dict, shell: Callable[[str], None] = shell) -> dict:
    """Runs the cells in the current folder, and sets their outputs; returns the variables.

    Args:
        notebook: As JSON has it.
        shell: Runs a command.
    """
    names: dict = {"_shell": lambda command: shell(re.sub(r"\{(\w+)\}", lambda m: str(names[m[1]]), command))}
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    for number, cell in enumerate(cells, 1):
        source = re.sub(r"^!(.*)$", lambda found: f"_shell({found[1]!r})", "".join(cell["source"]), flags=re.M)
        printed = io.StringIO()
        with redirect_stdout(printed):
            shown = run_cell(source, names)
        # no paths of this machine, and no optional package that is missing
        text = printed.getvalue().replace(f"{os.getcwd()}/", "").replace(f"{ROOT}/", "")
        text = "".join(line for line in text.splitlines(True) if line.strip() and "Could not import" not in line)
        cell["execution_count"] = number
        cell["outputs"] = [{"output_type": "stream", "name": "stdout", "text": text.splitlines(True)}] if text else []
        if shown is not None:
            entry = {"output_type": "execute_result", "execution_count": number, "metadata": {}}
            cell["outputs"].append({**entry, "data": display(shown)})
    return names


def run_cell(source: str, names: dict) -> object:
    """Runs the statements of a cell; returns the value of a last expression."""
    *body, last = ast.parse(source).body
    if not isinstance(last, ast.Expr):
        body, last = [*body, last], None
    exec(compile(ast.Module(body, []), "cell", "exec"), names)
    return None if last is None else eval(compile(ast.Expression(last.value), "cell", "eval"), names)


def display(value: object) -> dict:
    """What Jupyter keeps of a value."""
    data: dict = {"text/plain": [repr(value)]}
    if hasattr(value, "savefig"):
        picture = io.BytesIO()
        value.savefig(picture, format="png", dpi=70, metadata={"Software": None})
        data["image/png"] = base64.b64encode(picture.getvalue()).decode()
    return data


if __name__ == "__main__":
    main()
