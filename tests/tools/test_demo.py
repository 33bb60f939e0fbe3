import json


def test_the_demo_goes_on_where_it_was(python, tmp_path):
    args = ("tools/demo.py", "--out", tmp_path / "demo", "--patients", "60", "--epochs", "1", "--seed", "5")
    output = python(*args).stdout
    assert "done before" not in output
    metrics = json.loads((tmp_path / "demo" / "metrics.json").read_text())
    assert metrics["seed"] == 5
    for name in ("random_init", "otcxr", "vicreg", "supervised"):
        assert 0 < metrics[name]["macro_auroc"] < 1
        assert len(metrics[name]["per_class"]) == 8
        assert 0 < metrics[name]["lung_dice"] <= 1
    assert {"pretrain_otcxr", "linear_vicreg", "total"} <= set(metrics["seconds"])
    page = (tmp_path / "demo" / "report.html").read_text()
    assert len(page) < 5e6
    assert page.count("data:image/") == 5
    assert "http" not in page.replace("http-equiv", "")
    work = tmp_path / "demo" / "seed5"
    (work / "supervised" / "result.json").unlink()  # killed before its end
    (work / "linear_otcxr" / "step.json").write_text('{"key": "of another version"}')
    output = python(*args).stdout
    assert output.count("done before") == 5
    again = json.loads((tmp_path / "demo" / "metrics.json").read_text())
    assert {k: v for k, v in again.items() if k != "seconds"} == {k: v for k, v in metrics.items() if k != "seconds"}
    # another pre-training, and what builds on it is done anew
    output = python(*args[:-4], "--epochs", "2", "--seed", "5").stdout
    assert "draw radiographs (about half a minute): done before" in output
    assert "linear probe: untrained: done before" in output
    assert output.count("done before") == 2
