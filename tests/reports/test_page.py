import base64
import hashlib
import html
import json
import re
import sys

import numpy as np
import pytest

from otcxr_mm.cli.report import main as report
from otcxr_mm.reports.curves import GROUPS, scalars, thinned
from otcxr_mm.reports.page import build_report
from otcxr_mm.reports.strips import picture_strips, spread
from otcxr_mm.reports.training import read_trainings
from tests.evaluation.records import write_masks, write_run
from tests.reports.work_dirs import train_line, write_start


def cells(page):
    """The cells of each row of all tables, by the row's name."""
    rows = re.findall(r'<tr><th scope="row">(.*?)</th>(.*?)</tr>', page)
    return {html.unescape(name): re.findall("<td>(.*?)</td>", rest) for name, rest in rows}


def data(page):
    return json.loads(re.search(r'<script id="data" type="application/json">(.*?)</script>', page, re.S)[1])


@pytest.fixture
def hospital(tmp_path, charts):
    """A run whose folder, log and config name places and a patient."""
    secret = tmp_path / "Hospital of X"
    settings = f"data_root = {str(secret)!r}\nmodel = dict(type='otcxr_mm.OTCXR', secret='{secret}/w.pth')\n"
    log = [
        ("WARNING", f"cannot read {secret}/DOE JOHN 1950.dcm: no pixels"),
        ("WARNING", "see https://example.org/secret?id=7"),
        ("WARNING", "see https://example.org/secret?id=7"),
        ("ERROR", f"{secret}/x.py - main - 1 - Traceback:\n  File '{secret}/y.py'\nOSError: '{secret}/DOE.png' is bad"),
    ]
    manifest = {"config_text": settings, "command": ["otcxr", str(secret)], "train": {"images": 5, "patients": 3}}
    return write_start(secret / "run", "20260101_000000", [train_line(1)], manifest=manifest, log=log)


def test_the_page_names_no_place_no_file_and_no_address(hospital):
    page = build_report([hospital])
    for text in ("Hospital", "DOE", "example.org", str(hospital.parent), "w.pth"):
        assert text not in page
    namespaces = set(re.findall(r"https?://[^\"'`\s)]*", page))
    assert all(name.startswith("http://www.w3.org/") for name in namespaces), namespaces
    assert "cannot read [path]: no pixels" in page
    assert "see [address] (2 times)" in page
    assert "OSError: [path] is bad" in html.unescape(page)
    assert cells(page)["Training: images"] == ["5"]


def test_only_the_script_of_the_page_may_run(hospital):
    page = build_report([hospital])
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.S)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}';" in page


def test_names_are_text_and_not_markup(tmp_path, charts):
    bad = "<img src=x onerror=alert(1)>"
    lines = [train_line(i, **{f"</script>{bad}": 1.0}) for i in (1, 2)]
    run = write_start(tmp_path / f"a & {bad}", "20260101_000000", lines, log=[("WARNING", bad)], pictures=[("<b>", 1)])
    page = build_report([run])
    assert "onerror=alert" in html.unescape(page)
    assert "<img src=x" not in page
    assert "<b>" not in page
    assert page.count("</script>") == 2
    assert f"</script>{bad}" in [chart["name"] for chart in data(page)["charts"]]


def test_runs_side_by_side_show_where_their_settings_differ(tmp_path, charts):
    runs = []
    for name, rate in (("low", 0.1), ("high", 0.2)):
        text = f"model = dict(type='otcxr_mm.OTCXR')\noptim_wrapper = dict(optimizer=dict(type='SGD', lr={rate}))\n"
        lines = [train_line(i, loss=rate * i) for i in range(1, 4)]
        runs.append(write_start(tmp_path / name, "20260101_000000", lines, manifest={"config_text": text, "seed": 1}))
    page = build_report(runs)
    found = cells(page)
    assert found["Optimiser"] == ["SGD, lr 0.1", "SGD, lr 0.2"]
    assert found["optim_wrapper.optimizer.lr"] == ["0.1", "0.2"]
    assert found["optim_wrapper.optimizer.type"] == ["&#34;SGD&#34;"]
    assert "1 settings differ" in page
    chart = next(chart for chart in data(page)["charts"] if chart["name"] == "loss")
    assert chart["lines"] == [
        {"run": 0, "x": [1, 2, 3], "y": [0.1, 0.2, 0.3]},
        {"run": 1, "x": [1, 2, 3], "y": [0.2, 0.4, 0.6]},
    ]


def test_scalars_are_grouped_and_classes_have_no_chart_of_their_own(tmp_path):
    names = {"loss_ot": "Losses", "probe/auroc": "Probe", "probe/auroc/Mass": "Probe", "auroc": "Validation"}
    names |= {"backbone_rank": "Features", "ot_mass": "Transport", "lr": "Learning rate and gradients"}
    names |= {"grad_norm": "Learning rate and gradients", "time": "Speed and memory", "memory": "Speed and memory"}
    write_start(tmp_path, "20260101_000000", [train_line(i, **dict.fromkeys(names, 1.0)) for i in (1, 2)])
    found = {scalar.name: scalar for scalar in scalars(read_trainings([tmp_path]))}
    assert {name: found[name].group for name in names} == names
    assert [found[name].is_curve for name in ("probe/auroc", "probe/auroc/Mass")] == [True, False]
    order = [GROUPS.index(scalar.group) for scalar in found.values()]
    assert order == sorted(order)


def test_a_thinned_curve_keeps_its_ends_and_every_peak():
    values = dict(enumerate(np.random.default_rng(0).normal(size=10_000).tolist()))
    values[5000], values[5001], values[7000] = 99.0, -99.0, float("nan")
    found = thinned(values, 300)
    assert 150 < len(found["x"]) <= 303
    assert found["x"] == sorted(set(found["x"]))
    points = dict(zip(found["x"], found["y"], strict=True))
    assert (points[5000], points[5001], points[7000]) == (99.0, -99.0, None)
    assert {0, 9999} <= points.keys()
    assert all(value is None or value == pytest.approx(values[x], rel=1e-4) for x, value in points.items())
    assert thinned({1: 2.0, 5: 1 / 3}, 300) == {"x": [1, 5], "y": [2.0, 0.33333]}


def test_pictures_over_time_fit_the_budget(tmp_path):
    steps = range(0, 100, 10)
    run = write_start(tmp_path, "20260101_000000", [], pictures=[(n, s) for n in ("plan_0", "features") for s in steps])
    (tmp_path / "20260101_000000" / "vis_data" / "vis_image" / "plan_0_90.png").write_bytes(b"cut short")
    strips = picture_strips(read_trainings([run]))
    assert [(strip.name, strip.count) for strip in strips] == [("features", 10), ("plan_0", 10)]
    assert [shown.step for shown in strips[0].shown] == [0, 20, 40, 50, 70, 90]
    assert 90 not in [shown.step for shown in strips[1].shown]
    size = len(strips[0].shown[0].source)
    few = picture_strips(read_trainings([run]), budget=3 * size)
    assert [[shown.step for shown in strip.shown] for strip in few] == [[0, 90], [0]]
    none = picture_strips(read_trainings([run]), budget=0)
    assert [(strip.shown, strip.count) for strip in none] == [([], 10), ([], 10)]


def test_the_first_and_the_last_step_are_shown():
    assert spread([1, 2, 3], 6) == [1, 2, 3]
    assert spread(list(range(100)), 3) == [0, 49, 99] or spread(list(range(100)), 3) == [0, 50, 99]
    assert spread([4, 5, 6], 1) == [6]


def test_test_results_are_those_of_the_record(tmp_path, charts):
    entry = {"auroc": 0.71234, "auroc_interval": [0.6, 0.8], "auprc": None, "auprc_interval": None}
    details = {"draws": 2000, "macro": entry, "classes": [{"name": name, **entry} for name in ("Mass", "Edema")]}
    a, b = (write_run(tmp_path / name, name, details=details) for name in "ab")
    value = {"mean": 0.9, "interval": [0.85, 0.95]}
    masks = {"hd95_unit": "mm", "mean": {"dice": value}, "classes": [{"name": "left", "dice": value}]}
    found = cells(build_report([a, b, write_masks(tmp_path / "lungs", details=masks)]))
    assert found["Mass"] == ["–", "–"], "of AUPRC, which comes last"
    page = build_report([a])
    assert re.search(r'<th scope="row">Mass</th><td>0.712 \[0.600, 0.800\]</td>', page)
    assert "AUROC on test of NIHChestXray14: 120 images" in page
    assert cells(page)["State"] == ["tested only"]
    lungs = build_report([tmp_path / "lungs"])
    assert re.search(r'<th scope="row">left</th><td>0.900 \[0.850, 0.950\]</td>', lungs)
    assert "HD95 (mm) on test" in lungs


def test_a_damaged_record_of_a_test_is_an_error(tmp_path):
    file = write_run(tmp_path / "run") / "results.json"
    file.write_text(file.read_text()[:30])
    with pytest.raises(ValueError, match="results.json: not a readable record"):
        read_trainings([tmp_path / "run"])


def test_without_the_extra_the_error_names_it(tmp_path, monkeypatch):
    run = write_start(tmp_path / "run", "20260101_000000", [train_line(1)])
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    with pytest.raises(SystemExit, match=r"pip install 'otcxr_mm\[report\]'"):
        report([str(run)])
    assert not (run / "report.html").exists()


def test_the_command_writes_one_page(tmp_path, charts, capsys):
    runs = [str(write_start(tmp_path / name, "20260101_000000", [train_line(1), train_line(2)])) for name in "ab"]
    report(runs[:1])
    assert capsys.readouterr().out == f"{runs[0]}/report.html: 0.9 MB\n"
    with pytest.raises(SystemExit):
        report(runs)
    assert "several runs need --out FILE.html" in capsys.readouterr().err
    report([*runs, "--out", str(tmp_path / "both.html")])
    assert (tmp_path / "both.html").stat().st_size < 3e6
