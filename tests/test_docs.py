import argparse
import ast
import importlib
import json
import pkgutil
import re
import shlex
import sys
from pathlib import Path

import pytest

import otcxr_mm
from tests.conftest import ROOT

DOCS = ROOT / "docs"
PACKAGE = Path(otcxr_mm.__file__).parent
SITE = sorted(p for p in DOCS.rglob("*.md") if not {"_build", "downstream"} & set(p.relative_to(DOCS).parts))
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *SITE]
every_page = pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))

FENCE = re.compile(r"^```(\S*)\n(.*?)^```", re.M | re.S)


def blocks(page, language):
    """Fenced blocks of a language, with the line that each begins in."""
    text = page.read_text()
    return [(text[: m.start(2)].count("\n") + 1, m[2]) for m in FENCE.finditer(text) if m[1] == language]


def prose(page):
    """A page without its fenced blocks."""
    return FENCE.sub("", page.read_text())


CODE = [(page, line, code) for page in PAGES for line, code in blocks(page, "python")]
CONFIGS = [(page, line, code) for page, line, code in CODE if re.search(r"^_base_ = ", code, re.M)]
where = {"ids": lambda value: str(value.relative_to(ROOT)) if isinstance(value, Path) else str(value)[:8]}


@pytest.mark.parametrize(("queue", "name"), [("confirm", "results.md"), ("scratch", "results/from_scratch.md")])
def test_a_page_of_results_has_the_tables_of_its_series(queue, name, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tools" / "benchmarks"))
    from method_screen.report import comparison_tables

    tables = comparison_tables(queue)
    if queue == "scratch":
        tables += "\n" + (DOCS / "results" / "downstream" / "table.md").read_text()
    page = (DOCS / name).read_text()
    assert [line for line in tables.splitlines() if line.startswith("|") and line not in page] == []


@pytest.mark.parametrize("queue", ["confirm", "scratch"])
def test_comparison_has_the_figures_of_the_recorded_runs(queue, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tools" / "benchmarks"))
    from method_screen.queues import QUEUES
    from method_screen.records import recorded

    # a queue may still be running
    assert all(set(recorded(queue)) <= set(runs) for queue, runs in QUEUES.items())
    runs = recorded(queue)
    methods = json.loads((DOCS / "results" / f"{queue}.json").read_text())["methods"]
    assert sum(len(next(iter(metrics.values()))["seeds"]) for metrics in methods.values()) == len(runs)
    for method, metrics in methods.items():
        for metric, found in metrics.items():
            named = (runs.get(f"{method}_seed{seed}") for seed in (1, 2, 3))
            seeds = [run["test"][metric] for run in named if run]
            assert found["seeds"] == seeds
            assert found["value"] == pytest.approx(sum(seeds) / len(seeds), abs=2e-5)


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_links_of_pages_outside_the_site_lead_somewhere(name):
    # Sphinx checks those of the site
    for target in re.findall(r"\]\((?!https?:)([^)#\s]+)\)", prose(ROOT / name)):
        assert (ROOT / target).exists(), f"{name} links to {target}"


@every_page
def test_files_that_a_page_names_are_there(page):
    for name in re.findall(r"\b(?:configs|tools|tests|docs/results)/[\w./*-]*\w", page.read_text()):
        assert list(ROOT.glob(name)), f"{page.name} names {name}"


@pytest.mark.parametrize(("page", "line", "code"), CODE, **where)
def test_python_of_the_pages_compiles(page, line, code):
    ast.parse(code, f"{page.name}, line {line}")


def load(code, tmp_path):
    """A config of a page; bases of the package are those of this checkout."""
    from mmengine.config import Config

    def path(match):
        (found,) = (ROOT / "configs").rglob(Path(match[1]).name)
        return f'"{found}"'

    file = tmp_path / "my_config.py"
    file.write_text(re.sub(r'"otcxr_mm::([^"]+)"', path, code))
    return Config.fromfile(file)


@pytest.mark.parametrize(("page", "line", "code"), CONFIGS, **where)
def test_models_of_the_configs_of_the_pages_build(page, line, code, tmp_path):
    from mmengine.registry import MODELS, DefaultScope

    cfg = load(code, tmp_path)
    if cfg.default_scope == "mmseg":
        pytest.importorskip("mmseg.registry")
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        assert MODELS.build(cfg.model) is not None


@every_page
def test_names_of_the_package_exist(page):
    text = page.read_text()
    for name in set(re.findall(r"(?<![\w./:-])otcxr_mm(?:\.[A-Za-z_]\w*)+", text)) - {"otcxr_mm.X"}:
        try:
            pkgutil.resolve_name(name)
        except (ImportError, AttributeError):
            pytest.fail(f"{page.name} names {name}, which does not exist")


def test_every_public_object_is_on_a_page():
    pages = "".join(p.read_text() for p in (DOCS / "api").glob("*.md"))
    documented = set(re.findall(r"^\.\. (?:autoclass|autofunction|autoexception|py:data):: (\S+)$", pages, re.M))
    public = {f"otcxr_mm.{name}" for name in dir(otcxr_mm)} - {"otcxr_mm.__version__", "otcxr_mm.ops"}
    public |= {f"otcxr_mm.ops.{name}" for name in otcxr_mm.ops.__all__}
    for module in ("otcxr_mm.datasets", "otcxr_mm.reports", "otcxr_mm.backbones"):
        names = importlib.import_module(module).__all__
        public |= {f"{module}.{name}" for name in names if f"otcxr_mm.{name}" not in public}
    missing = sorted(public - documented)
    assert not missing, f"add to docs/api/*.md: {missing}"


def test_picture_of_the_architecture_names_every_room():
    rooms = {path.parent.name for path in PACKAGE.glob("*/__init__.py")} | {"registry", "version"}
    named = set(re.findall(r'font-weight="bold">(\w+)</text>', (DOCS / "pictures" / "architecture.svg").read_text()))
    assert named == rooms, "draw it again: python tools/visualization/architecture.py"


def commands(page):
    """Calls of `otcxr`, or of `-m otcxr_mm`, in the shell blocks of a page."""
    for _, code in blocks(page, "bash"):
        for line in code.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            for i, word in enumerate(words[:-1]):
                if word == "otcxr" or words[i - 1 : i + 1] == ["-m", "otcxr_mm"]:
                    yield words[i + 1 :]


class Parsed(BaseException):
    """Ends a command after its arguments are parsed."""


def parse(command, arguments, monkeypatch):
    """The arguments of a command as its own parser reads them; what it does not know ends the test."""
    from otcxr_mm import cli

    def parsed(parser, *args):
        raise Parsed(parser.parse_known_args(*args))

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parsed)
    monkeypatch.setattr(sys, "argv", ["otcxr"])
    with pytest.raises(Parsed) as stopped:
        importlib.import_module(cli.COMMANDS[command][0]).main(list(arguments))
    args, unknown = stopped.value.args[0]
    assert not unknown, f"otcxr {command}: unknown {unknown}"
    return vars(args)


# files that the reader writes
READERS = ("CONFIG", "my_config.py", "my_classifier.py", "swin_barlow_cvsim.py")


@pytest.mark.parametrize(
    ("page", "command"),
    [(page, command) for page in PAGES for command in commands(page)],
    ids=lambda value: value.stem if isinstance(value, Path) else " ".join(value[:2]),
)
def test_commands_of_the_pages_run(page, command, monkeypatch):
    from mmengine.config import Config

    from otcxr_mm.utils.configs import find_config

    command, *arguments = [word for word in command if word != "&"]
    args = parse(command, arguments, monkeypatch)
    config = args.get("config")
    if config in READERS or not str(config).endswith(".py"):
        return
    assert find_config(config)
    for option in args.get("cfg_options") or ():
        *above, name = option.partition("=")[0].split(".")
        part = Config.fromfile(find_config(config))
        for key in above:
            part = part[int(key) if key.isdigit() else key]
        assert name in part or name in ("indices", "packed", "cache"), f"{page.name}: {option}"


@every_page
def test_commands_that_the_prose_names_exist(page):
    from otcxr_mm import cli

    assert set(re.findall(r"`otcxr ([a-z][a-z-]*)", prose(page))) <= set(cli.COMMANDS)
