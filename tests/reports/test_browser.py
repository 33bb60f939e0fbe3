"""The report as a browser shows it, at the widths of a phone and of a screen, light and dark."""

import os
import shutil
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from otcxr_mm.reports.page import build_report
from tests.evaluation.records import write_run
from tests.reports.work_dirs import train_line, write_start

CHARTS = "[data-chart]"
# charts are drawn when they come near the screen
DRAW_ALL = """async () => {
  for (const place of document.querySelectorAll("[data-chart]")) {
    place.scrollIntoView();
    while (!place.querySelector("svg")) await new Promise(done => setTimeout(done, 50));
  }
  scrollTo(0, 0);
}"""
TICKS = """() => [...document.querySelectorAll('[data-chart="0"] .role-axis-label')][0].textContent"""


def until(page, condition):
    """Waits for a condition in JavaScript. Playwright's own way evaluates text, which the page's policy forbids."""
    end = time.monotonic() + 30
    while not page.evaluate(condition):
        assert time.monotonic() < end, condition
        page.wait_for_timeout(50)


@pytest.fixture(scope="module")
def browser(charts):
    found = shutil.which("chromium") or shutil.which("google-chrome")
    missing = "Chromium" if not found else "axe-playwright-python" if not find_spec("axe_playwright_python") else None
    if missing:
        if os.environ.get("CI"):
            pytest.fail(f"CI must have {missing}")
        pytest.skip(f"needs {missing}")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def page_file(tmp_path_factory):
    """Two runs side by side, one of them tested, with all that a page may have."""
    folder, entry = tmp_path_factory.mktemp("runs"), {"auroc": 0.7, "auroc_interval": [0.6, 0.8], "auprc": None}
    details = {"draws": 2000, "macro": entry, "classes": [{"name": name, **entry} for name in ("Mass", "Edema")]}
    tested = write_run(folder / "a_rather_long_name_of_a_work_dir_that_has_to_break", details=details)
    values = np.random.default_rng(0).normal(size=40)
    lines = [train_line(i + 1, loss_ot=value, backbone_rank=50.0 + i) for i, value in enumerate(values)]
    log, pictures = [("WARNING", "a warning")], [("plan", step) for step in (10, 20, 30)]
    versions = {"torch": "2.14.0", "python": "3.11"}
    manifest = {"train": {"images": 5, "patients": 3, "sha256": "a" * 64}, "versions": versions}
    for run, kept in ((tested, lines), (folder / "b", [*lines[:1], train_line(2, loss=float("nan"))])):
        write_start(run, "20260101_000000", kept, manifest=manifest, log=log, pictures=pictures)
    file = folder / "report.html"
    file.write_text(build_report([tested, folder / "b"]), encoding="utf-8")
    return file


@pytest.fixture
def opened(browser, page_file):
    """Opens the page with all its charts; returns it, what the console said and what was asked for."""

    def open_page(width=1400, scheme="light"):
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        page.set_default_timeout(120_000)
        said, asked = [], []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url.partition(",")[0]))
        page.goto(page_file.as_uri())
        page.evaluate(DRAW_ALL)
        return page, said, asked

    yield open_page
    for context in browser.contexts:
        context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1400])
def test_the_page_is_whole_and_accessible(opened, page_file, width, scheme):
    page, said, asked = opened(width, scheme)
    assert said == []
    assert set(asked) <= {page_file.as_uri(), "data:image/webp;base64"}
    assert page.locator(f"{CHARTS} svg").count() == page.locator(CHARTS).count() > 3
    assert page.evaluate("document.documentElement.scrollWidth") <= width, "the page scrolls sideways"
    images = page.evaluate("[...document.images].map(image => image.complete && image.naturalWidth > 0)")
    assert len(images) == 6 and all(images)
    import axe_playwright_python

    # not as a script of the page, which its policy forbids
    page.evaluate(f"() => {{ {(Path(axe_playwright_python.__file__).parent / 'axe.min.js').read_text()} }}")
    found = page.evaluate("axe.run()")["violations"]
    assert [(rule["id"], rule["impact"], rule["nodes"][0]["html"]) for rule in found] == []


def test_a_curve_is_read_with_the_pointer_and_zoomed(opened):
    page, _, _ = opened()
    chart = page.locator(CHARTS).first
    chart.scroll_into_view_if_needed()
    box, before, top = chart.bounding_box(), page.evaluate(TICKS), page.evaluate("scrollY")
    page.mouse.move(box["x"] + 200, box["y"] + 80)
    page.wait_for_selector("#vg-tooltip-element.visible")
    assert page.locator("#vg-tooltip-element td.key").all_inner_texts()[:2] == ["run", "iteration"]
    page.mouse.wheel(0, 50)
    until(page, f"scrollY > {top}")
    assert page.evaluate(TICKS) == before, "without Ctrl the wheel scrolls the page"
    box = chart.bounding_box()
    page.mouse.move(box["x"] + 200, box["y"] + 80)
    page.keyboard.down("Control")
    page.mouse.wheel(0, -400)
    until(page, f"({TICKS})() != {before!r}")
    page.keyboard.up("Control")
    page.mouse.dblclick(box["x"] + 200, box["y"] + 80)
    until(page, f"new Set(({TICKS})()).size == new Set({before!r}).size")


def test_the_range_is_set_with_the_keyboard(opened):
    page, _, _ = opened()
    before = page.evaluate(TICKS)
    page.focus("#from")
    for value in ("5", "6"):
        page.keyboard.press("Control+A")
        page.keyboard.type(value)
        page.keyboard.press("Tab")
    until(page, f"({TICKS})() != {before!r}")
    labels = page.locator(CHARTS).first.locator(".role-axis-label").first.locator("text").all_text_contents()
    assert labels
    assert all(5 <= float(label) <= 6 for label in labels)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Show all"
    page.keyboard.press("Enter")
    until(page, f"({TICKS})() != ''")


def test_a_screen_reader_is_told_what_a_chart_shows(opened):
    page, _, _ = opened()
    labels = page.locator(CHARTS).evaluate_all("places => places.map(place => place.getAttribute('aria-label'))")
    assert labels[0].startswith("loss. a_rather_long_name_of_a_work_dir_that_has_to_break: 1 to 40; b: 1")
