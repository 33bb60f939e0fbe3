import ast
import importlib
import re
import shlex
import sys
from functools import cache
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


def test_tables_of_the_results_are_those_of_the_comparison(root, monkeypatch):
    monkeypatch.syspath_prepend(str(root / "tools" / "benchmarks"))
    methods = importlib.import_module("methods")
    text = (root / "docs" / "results.md").read_text()
    lines = [line for line in methods.comparison_tables().splitlines() if line]
    for name in [n for n in sys.modules if n == "methods" or n.startswith("method_screen.queues")]:
        del sys.modules[name]
    missing = [line for line in lines if line not in text]
    assert not missing, (
        "docs/results.md is older than docs/results/comparisons.json: methods.py compare prints its tables"
    )


def test_downstream_tables_are_those_of_the_last_series(root):
    made = (root / "docs" / "results" / "downstream" / "table.md").read_text()
    page = (root / "docs" / "results.md").read_text()
    missing = [line for line in made.splitlines() if line.startswith("|") and line not in page]
    assert not missing, "docs/results.md is older than docs/results/downstream/: take the tables of table.md over"


@cache
def anchors(page):
    """Anchors of a page's headings, as GitHub and MyST make them, and those set by hand."""
    text = prose(page)
    found = set(re.findall(r'<a id="([^"]+)">', text))
    for heading in re.findall(r"^#+ (.+)$", text, re.M):
        plain = re.sub(r"\[([^]]*)\]\([^)]*\)|[`*]", lambda m: m[1] or "", heading)
        found.add(re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-"))
    return found


@every_page
def test_links_between_pages_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if target.startswith(("http://", "https://")):
            continue
        file, _, anchor = target.partition("#")
        path = (page.parent / file).resolve() if file else page
        assert path.exists(), f"{page.name} links to {target}"
        assert not anchor or anchor in anchors(path), f"{page.name} links to {target}: no such heading"


def test_no_page_is_an_orphan():
    listed = set()
    for page in SITE:
        for toctree in re.findall(r"^```{toctree}\n(.*?)^```", page.read_text(), re.M | re.S):
            listed |= {line for line in toctree.splitlines() if line and not line.startswith(":")}
    pages = {str(p.relative_to(DOCS).with_suffix("")) for p in SITE} - {"index"}
    assert listed == pages
    # on GitHub there is no toctree: the table of the index must lead everywhere
    linked = set(re.findall(r"\]\(([^)#\s]+)\.md", prose(DOCS / "index.md")))
    assert linked == pages


@every_page
def test_files_that_a_page_names_are_there(page):
    for name in re.findall(r"\b(?:configs|tools|tests|docs/results)/[\w./*-]*\w", page.read_text()):
        assert list(ROOT.glob(name)), f"{page.name} names {name}"


@pytest.mark.parametrize(("page", "line", "code"), CODE, **where)
def test_python_of_the_pages_compiles(page, line, code):
    ast.parse(code, f"{page.name}, line {line}")


@cache
def registered(name):
    """Whether any registry knows a type, as from a config of MMPretrain's scope."""
    from mmengine import registry

    for kind in (kind for kind in vars(registry).values() if isinstance(kind, registry.Registry)):
        with kind.switch_scope_and_registry("mmpretrain") as scoped:
            if scoped.get(name) is not None:
                return True
    return False


def types(config):
    """Every `type` in a config."""
    if isinstance(config, dict):
        if isinstance(config.get("type"), str):
            yield config["type"]
        for value in config.values():
            yield from types(value)
    elif isinstance(config, (list, tuple)):
        for value in config:
            yield from types(value)


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
def test_configs_of_the_pages_load_and_their_parts_are_known(page, line, code, tmp_path):
    cfg = load(code, tmp_path)
    unknown = {name for name in types(cfg._cfg_dict.to_dict()) if not registered(name)}
    assert not unknown, f"{page.name}, line {line}: {unknown}"
    for name in ("lr", "batch_size"):  # a misspelt key beside a known one
        assert name not in cfg


@pytest.mark.parametrize(("page", "line", "code"), [c for c in CONFIGS if "out_channels" in c[2]], **where)
def test_models_of_the_pages_build(page, line, code, tmp_path):
    from mmengine.registry import MODELS, init_default_scope

    cfg = load(code, tmp_path)
    init_default_scope(cfg.default_scope)
    assert MODELS.build(cfg.model) is not None


@every_page
def test_names_of_the_package_exist(page):
    text = page.read_text()
    for name in set(re.findall(r"(?<![\w./:-])otcxr_mm(?:\.[A-Za-z_]\w*)+", text)) - {"otcxr_mm.X"}:
        parts = name.split(".")
        found = importlib.import_module("otcxr_mm")
        for i, part in enumerate(parts[1:], 2):
            try:
                found = getattr(found, part)
            except AttributeError:
                try:
                    found = importlib.import_module(".".join(parts[:i]))
                except ImportError:
                    pytest.fail(f"{page.name} names {name}: there is no {'.'.join(parts[:i])}")


def test_every_public_object_is_on_a_page():
    pages = "".join(p.read_text() for p in (DOCS / "api").glob("*.md"))
    documented = set(re.findall(r"^\.\. (?:autoclass|autofunction|autoexception|py:data):: (\S+)$", pages, re.M))
    public = {f"otcxr_mm.{name}" for names in otcxr_mm._PUBLIC.values() for name in names}
    public |= {f"otcxr_mm.ops.{name}" for name in otcxr_mm.ops.__all__}
    for module in ("otcxr_mm.datasets", "otcxr_mm.reports", "otcxr_mm.backbones"):
        names = importlib.import_module(module).__all__
        public |= {f"{module}.{name}" for name in names if f"otcxr_mm.{name}" not in public}
    missing = sorted(public - documented)
    assert not missing, f"add to docs/api/*.md: {missing}"


def test_docstrings_need_no_mathematics_from_the_net():
    # Sphinx shows :math: with a script that it loads from elsewhere
    roles = [p for p in PACKAGE.rglob("*.py") if ":math:" in p.read_text()]
    assert not roles


def commands(page):
    """Calls of `otcxr`, or of `-m otcxr_mm`, in the shell blocks of a page."""
    for _, code in blocks(page, "bash"):
        for line in code.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            for i, word in enumerate(words[:-1]):
                if word == "otcxr" or words[i - 1 : i + 1] == ["-m", "otcxr_mm"]:
                    yield words[i + 1 :]


@every_page
def test_commands_of_the_pages_exist(page):
    from otcxr_mm import cli
    from otcxr_mm.utils.configs import find_config

    own = set(re.findall(r"\b\w+\.py\b", prose(page) + "".join(code for *_, code in CODE)))
    for command, *rest in commands(page):
        assert command in cli.COMMANDS, f"{page.name}: otcxr {command}"
        if command in ("train", "audit", "views", "stats", "copy-cfg") and rest and rest[0].endswith(".py"):
            assert rest[0] in own | {"my_classifier.py"} or find_config(rest[0])
