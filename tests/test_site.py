"""The documentation as a browser shows it."""

import functools
import http.server
import json
import os
import re
import shutil
import subprocess
import threading

import pytest

from tests.conftest import ROOT

SITE = ROOT / "docs" / "_build" / "html"
# a phone, a window with one sidebar, and with both, where the text is narrowest
WIDTHS = (400, 1100, 1313)
# loads each page in a frame, gives it each width, and writes into the document by how many pixels it scrolls sideways
HARNESS = """<!doctype html><body><script>
const pages = %s, widths = %s, found = [];
async function measure() {
  for (const page of pages) {
    const frame = document.createElement("iframe");
    frame.style.height = "900px"; frame.src = page;
    document.body.append(frame);
    await new Promise(done => frame.onload = done);
    const root = frame.contentDocument.documentElement;
    for (const width of widths) {
      frame.style.width = width + "px";
      found.push([page, width, root.scrollWidth - root.clientWidth]);
    }
    frame.remove();
  }
  const out = document.createElement("pre"); out.id = "found"; out.textContent = JSON.stringify(found);
  document.body.append(out);
}
measure();
</script></body>"""


@pytest.fixture
def chromium():
    found = shutil.which("chromium") or shutil.which("google-chrome")
    if found and SITE.is_dir():
        return found
    missing = "Chromium" if not found else f"{SITE}: run make docs first"
    if os.environ.get("CI"):
        pytest.fail(f"CI must have the site and a browser to look at it: {missing}")
    pytest.skip(f"needs the built site and a browser: {missing}")


def test_no_page_scrolls_sideways(chromium, tmp_path):
    pages = sorted(page.relative_to(SITE).as_posix() for page in SITE.rglob("*.html"))
    assert "results.html" in pages
    folder = tmp_path / "site"
    shutil.copytree(SITE, folder)
    (folder / "harness.html").write_text(HARNESS % (json.dumps(pages), json.dumps(WIDTHS)))
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    handler.log_message = lambda *_: None
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        options = ("--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=60000", "--dump-dom")
        address = f"http://127.0.0.1:{server.server_port}/harness.html"
        dom = subprocess.run([chromium, *options, address], capture_output=True, text=True, timeout=240).stdout
        server.shutdown()
    found = json.loads(re.search(r'<pre id="found">(.*?)</pre>', dom)[1])
    assert len(found) == len(pages) * len(WIDTHS)
    assert [row for row in found if row[2] > 0] == []
