"""The parts of the doctor, and that its codes, its page and setup.py agree."""

import dataclasses
import json
import re
import sys
from importlib.machinery import PathFinder

import pytest

from otcxr_mm.doctor import (
    CODES,
    Finding,
    disk,
    experiment,
    gpus,
    machine,
    main,
    places,
    probe_config,
    report,
    supported,
)
from otcxr_mm.doctor import packages as packages_of
from otcxr_mm.doctor.child import Probe
from otcxr_mm.doctor.finding import error, note, ok, warning
from otcxr_mm.doctor.imports import explain
from otcxr_mm.doctor.installed import Distribution
from otcxr_mm.doctor.memory import available_memory
from otcxr_mm.doctor.private import private_values, without_private
from otcxr_mm.doctor.probe import describe
from tests.conftest import ROOT

PAGE = ROOT / "docs" / "troubleshooting.md"
SOURCES = [p for p in (ROOT / "otcxr_mm" / "doctor").glob("*.py") if p.name != "finding.py"]


def test_every_problem_of_the_source_has_its_heading_and_every_heading_its_problem():
    text = PAGE.read_text()
    headings = re.findall(r"^#### `([a-z-]+)`", text, re.MULTILINE)
    assert sorted(headings) == sorted(CODES)
    source = "\n".join(p.read_text() for p in SOURCES)
    made = set(re.findall(r'(?:error|warning|make|\))\(\s*"([a-z0-9-]+)",', source)) | {"work-dir", "disk-full"}
    assert made == set(CODES)


def test_every_heading_says_why_and_what_to_do():
    for part in re.split(r"^#### ", PAGE.read_text(), flags=re.MULTILINE)[1:]:
        if part.startswith("`"):
            assert "**What to do:**" in part, part


def test_oldest_versions_are_those_of_setup():
    asked = dict(re.findall(r'"([a-z-]+)>=([\d.]+)"', (ROOT / "setup.py").read_text()))
    for name in ("python", "click", "mlflow-skinny", "wandb"):  # nothing that training needs
        asked.pop(name, None)
    assert asked == supported.OLDEST


def test_torchvision_follows_torch():
    # pairs as published
    for torch, torchvision in (("2.1.2", "0.16"), ("2.4.0+cpu", "0.19"), ("2.14.0", "0.29")):
        assert supported.torchvision_of(torch) == torchvision
        assert supported.torch_of(torchvision + ".0") == ".".join(torch.split(".")[:2])
    assert supported.torchvision_of("1.13.1") == "" and supported.torch_of("0.14.1") == ""


@pytest.mark.parametrize(
    ("version", "oldest", "older"),
    [("2.0.1", "2.1", True), ("2.1", "2.1.0", False), ("0.10.12rc1", "0.10.7", False), ("?", "1.0", False)],
)
def test_versions_compare_by_number(version, oldest, older):
    assert supported.is_older(version, oldest) is older


def test_a_problem_needs_a_known_code_and_an_advice():
    with pytest.raises(ValueError, match="CODES"):
        error("bad-weather", "rain", "umbrella")
    with pytest.raises(ValueError, match="advice"):
        warning("tmpdir", "full", "")
    with pytest.raises(ValueError, match="level"):
        Finding("fatal", "tmpdir", "")


def test_the_report_ends_with_problems_and_their_number():
    findings = [ok("torch", "2.14.0"), error("tmpdir", "none", "set TMPDIR"), note("gpu", "no GPU")]
    text = report(findings)
    assert text.index("no GPU") < text.index("ERROR tmpdir") < text.index("-> set TMPDIR")
    assert text.splitlines()[-1] == "1 error, 0 warnings; more about each in docs/troubleshooting.md"
    assert report(findings[:1]).endswith("0 errors, 0 warnings")


SECRETS = ["PAT1234567", "klinikum", "mueller", "jane"]


@pytest.mark.parametrize(
    "text",
    [
        "/mnt/klinikum/PAT1234567: 2.0 GiB free",
        "data_root '/mnt/klinikum x/PAT1234567' is no folder (looked at /mnt/klinikum x/PAT1234567)",
        "FileNotFoundError: [Errno 2] No such file or directory: '/mnt/my films/PAT1234567.png'",
        "KeyError: no [/srv/my films/mueller.py, line 3, in read]",
        "load_from: 's3://klinikum/PAT1234567.pth' is not there",
        "TMPDIR=/data/jane, /usr/../mnt/klinikum, //nas/klinikum and ~/mueller or ~jane/x:/mnt/klinikum",
        "folder runs/mueller: ann_file 'films/klinikum/mueller.csv', split_file mueller.txt",
        "--cfg-options train_dataloader.dataset.data_root=/data/jane",
        "a package of jane in /opt/jane/x",
    ],
)
def test_json_holds_no_path_and_no_name(text, monkeypatch):
    monkeypatch.setenv("HOME", "/data/jane")
    read = {
        "data": [
            {"place": "a", "type": "b", "data_root": "/mnt/klinikum x/PAT1234567"},
            {"data_root": "films/klinikum", "ann_file": "mueller.csv", "split_file": "mueller.txt"},
        ],
        "checkpoints": [["load_from", "s3://klinikum/PAT1234567.pth"]],
        "work_dir": "runs/mueller",
    }
    values = private_values("mueller.py", "runs/mueller", read)
    given = report([dataclasses.replace(ok("a", text), private=values)], as_json=True)
    assert not [secret for secret in SECRETS if secret in given], given
    assert "<path>" in given


def test_json_keeps_what_tells_of_the_installation():
    lines = (
        f"{sys.prefix}/lib/python3.11/site-packages/torch/__init__.py, line 2",
        "libGL.so.1 in /usr/lib/x86_64, /dev/shm has 64.0 MiB, 1/2 of the data",
        "/tmp: 3.0 GiB free",
        'pip install "numpy<2" for mmengine/hooks/hook.py',
    )
    for text in lines:
        assert without_private(text, private_values("my.py", "work_dirs/my", {})) == text
    user = "/mnt/x/lib/site-packages/torch/__init__.py, line 2"
    assert without_private(user) == "<path>/site-packages/torch/__init__.py, line 2"


def test_the_json_of_a_config_with_secrets(tmp_path, monkeypatch, capsys):
    folder = tmp_path / "klinikum"
    folder.mkdir()
    (folder / "mueller.py").write_text(
        'default_scope = "mmpretrain"\nload_from = "PAT1234567.pth"\nwork_dir = "jane/runs"\n'
        "train_dataloader = dict(dataset=dict(type='otcxr_mm.UnlabeledCXR', data_root='klinikum/PAT1234567'))\n"
    )
    monkeypatch.chdir(folder)
    main(["mueller.py", "--json"])
    given = capsys.readouterr().out
    assert {"data-missing", "checkpoint-missing"} <= {f["code"] for f in json.loads(given)["findings"]}
    assert not [secret for secret in [*SECRETS, str(tmp_path)] if secret in given], given
    main(["mueller.py", "--json", "--quick"])
    given = capsys.readouterr().out
    assert "not read with --quick" in given
    assert not [secret for secret in SECRETS if secret in given], given


def test_a_name_like_it_is_proposed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["--quick", "otcxr_r50_nhi"]) == 1
    assert "did you mean otcxr_r50_nih.py?" in capsys.readouterr().out


def test_main_ends_with_one_for_errors(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["--quick", "nowhere.py"]) == 1
    assert "ERROR config-missing" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("version", "level"),
    [((3, 8, 18), "error"), ((3, 10, 1), "note"), ((3, 11, 7), "ok"), ((3, 12, 1), "ok"), ((3, 13, 0), "warning")],
)
def test_pythons(version, level):
    assert places.python(version).level == level


# --- configs, read in this process


def unreadable(tmp_path, text):
    from otcxr_mm.doctor import probe_config

    (tmp_path / "my.py").write_text(text)
    with pytest.raises(BaseException) as raised:  # noqa: PT011
        probe_config.read("config", {"config": str(tmp_path / "my.py")})
    probe = Probe({"config": {"ok": False, "error": describe(raised.value)}})
    (finding,) = experiment.examine_config("my.py", probe, {})
    assert finding.code == "config-unreadable"
    return finding


def test_a_base_that_is_not_there(tmp_path):
    finding = unreadable(tmp_path, '_base_ = ["./runtimes.py"]\n')
    assert "runtimes.py" in finding.message and "_base_" in finding.advice


def test_a_variable_that_is_not_set(tmp_path, monkeypatch):
    monkeypatch.delenv("OUR_FILMS", raising=False)
    finding = unreadable(tmp_path, 'root = "{{$OUR_FILMS:}}"\n')
    assert "KeyError" in finding.message and "export OUR_FILMS=" in finding.advice


def test_a_syntax_error_in_a_base_names_the_base(tmp_path):
    (tmp_path / "base.py").write_text("a = 1\nb = = 2\n")
    assert "base.py, line 2" in unreadable(tmp_path, '_base_ = "./base.py"\n').message


def test_an_import_that_a_config_asks_for(tmp_path):
    finding = unreadable(tmp_path, "custom_imports = dict(imports=['my_losses'], allow_failed_imports=False)\n")
    assert "my_losses" in finding.message


def test_data_folders_and_tables(tmp_path):
    (tmp_path / "a").mkdir()
    entries = [
        {"place": "train_dataloader.dataset", "type": "otcxr_mm.UnlabeledCXR", "data_root": str(tmp_path / "b")},
        {
            "place": "val_dataloader.dataset",
            "type": "X",
            "data_root": str(tmp_path / "a"),
            "ann_file": "t.csv",
            "img_prefix": "i",
        },
        {"place": "test_dataloader.dataset", "type": "otcxr_mm.SyntheticCXR", "data_root": str(tmp_path / "made")},
    ]
    found = experiment.data(entries, {})
    assert [f.level for f in found] == ["error", "error", "error", "note"]
    assert "train_dataloader.dataset.data_root=FOLDER" in found[0].advice
    assert "ann_file" in found[1].message and "img_prefix" in found[2].message


def test_a_table_that_is_not_there(tmp_path):
    from mmengine.config import Config

    spec = dict(type="otcxr_mm.NIHChestXray14", data_root=str(tmp_path), pipeline=[])
    entries = [{"place": "train_dataloader.dataset", "type": spec["type"], "data_root": str(tmp_path)}]
    given = probe_config.tables("tables", {"cfg": Config(dict(train_dataloader=dict(dataset=spec)))})
    (found,) = experiment.data(entries, {}, given)
    assert (found.level, found.code) == ("error", "data-missing")
    assert f"train_dataloader.dataset: {tmp_path}: no Data_Entry_2017*.csv" in found.message
    assert [f.level for f in experiment.data(entries, {}, {"missing": {}})] == ["ok"]
    assert "tables were not read" in experiment.data(entries, {}, None)[0].message


# --- arithmetic


def run_of(keep, interval=1, length=10, optimizer="AdamW", momentum=False, best=None, **given):
    hook = {"type": "CheckpointHook", "max_keep_ckpts": keep, "interval": interval, "save_best": best}
    read = {"ok": True, "optimizer": optimizer, "momentum": momentum, "hook": hook, "loop": "EpochBasedTrainLoop"}
    read.update(train={"max_epochs": length}, validated=True, exports=False)
    model = {"ok": True, "parameters": 25, "bytes": 110, "trained_bytes": 100, "backbone_bytes": 90}
    return Probe({"config": {**read, **given}, "model": model})


@pytest.mark.parametrize(
    ("probe", "expected"),
    [
        (run_of(3), 310 * 4),  # three kept, one being written
        (run_of(-1), 310 * 10),
        (run_of(3, interval=5), 310 * 2),
        (run_of(3, interval=-1), 310),
        (run_of(3, best="auto"), 310 * 4 + 110 * 2),
        (run_of(3, best="auto", validated=False), 310 * 4),
        (run_of(3, exports=True), 310 * 4 + 90),
        (run_of(3, optimizer="SGD"), 110 * 4),
        (run_of(3, optimizer="SGD", momentum=True), 210 * 4),
        (run_of(3, loop="LinearEvalLoop"), 0),
        (run_of(3, train={"max_iters": 100}), 0),  # epochs depend on the number of images
        (run_of(3, train={"max_iters": 100}, loop="IterBasedTrainLoop", hook={"by_epoch": False, "interval": 50}), 620),
        (Probe(), 0),
    ],
)
def test_bytes_of_checkpoints(probe, expected):
    told, how = experiment.bytes_of_checkpoints(probe)
    assert told == expected
    if probe.steps and not expected:
        assert "a checkpoint takes 310 B; otcxr train --estimate" in how


def test_bytes_to_train():
    # weights and buffers, gradients, two states of AdamW
    assert experiment.bytes_to_train(run_of(3)) == 110 + 100 + 200


def test_the_size_of_a_checkpoint_is_that_of_the_file(tmp_path):
    import torch

    model = torch.nn.Sequential(torch.nn.Linear(300, 300), torch.nn.BatchNorm1d(300))
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.randn(4, 300)).sum().backward()
    optimizer.step()
    torch.save({"state_dict": model.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "epoch_1.pth")
    size = sum(p.numel() * 4 for p in model.parameters())
    buffers = sum(b.numel() * b.element_size() for b in model.buffers())
    step = {"ok": True, "parameters": 1, "bytes": size + buffers, "trained_bytes": size}
    probe = Probe({"config": run_of(3, interval=-1).steps["config"], "model": step})
    told = experiment.bytes_of_checkpoints(probe)[0]
    assert told == pytest.approx((tmp_path / "epoch_1.pth").stat().st_size, rel=0.02)


def test_room_and_memory():
    assert disk.room("w", 10 * 2**30, 20 * 2**30, "4 of 5 GiB").level == "error"
    assert disk.room("w", 2**29, 0, "").level == "warning"
    assert disk.room("w", 2**32, 2**31, "").level == "ok"
    assert machine.memory(2**30, 2**31).level == "error"
    assert machine.memory(2**30, 0).level == "warning"
    assert machine.memory(2**33, 2**31).level == "ok"
    assert machine.memory(None, 0).level == "note"
    assert available_memory() > 0


def tree(folder, groups, cgroup, meminfo=64 * 2**20):
    """A machine of 64 GiB with control groups: folder to its files."""
    (folder / "proc" / "self").mkdir(parents=True)
    (folder / "proc" / "meminfo").write_text(f"MemTotal: 1 kB\nMemAvailable: {meminfo} kB\n")
    (folder / "proc" / "self" / "cgroup").write_text(cgroup)
    for name, files in groups.items():
        (folder / "cgroup" / name).mkdir(parents=True, exist_ok=True)
        for file, content in files.items():
            (folder / "cgroup" / name / file).write_text(f"{content}\n")
    return available_memory(str(folder / "proc"), str(folder / "cgroup"))


def limit(version, most, used, cache=0):
    if version == 2:
        names, stat = ("memory.max", "memory.current"), f"anon 5\ninactive_file {cache}\nactive_file 7"
    else:
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes")
        stat = f"inactive_file 1\ntotal_cache 9\ntotal_inactive_file {cache}"
    return {names[0]: most, names[1]: used, "memory.stat": stat}


V1 = "12:cpu,cpuacct:/x\n4:memory:{}\n0::/other\n"


@pytest.mark.parametrize(
    ("version", "cgroup", "top"), [(2, "0::{}\n", ""), (1, V1, "memory/"), (1, "4:foo,memory:{}\n", "memory/")]
)
def test_memory_of_control_groups(tmp_path, version, cgroup, top):
    free = 64 * 2**30
    none = "max" if version == 2 else 9223372036854771712
    # no limit anywhere
    groups = {f"{top}a/b": limit(version, none, 2**30)}
    assert tree(tmp_path / "none", groups, cgroup.format("/a/b")) == free
    # a container that has read many images: what it has read is not taken
    groups = {f"{top}a/b": limit(version, 8 * 2**30, 8 * 2**30, 6 * 2**30)}
    assert tree(tmp_path / "cache", groups, cgroup.format("/a/b")) == 6 * 2**30
    # the job above it leaves less
    groups[f"{top}a"] = limit(version, 16 * 2**30, 15 * 2**30)
    assert tree(tmp_path / "job", groups, cgroup.format("/a/b")) == 2**30
    # in a container the path of outside is not there, and the root is its own group
    groups = {top or ".": limit(version, 4 * 2**30, 2**30)}
    assert tree(tmp_path / "docker", groups, cgroup.format("/docker/0123")) == 3 * 2**30
    assert tree(tmp_path / "namespace", groups, cgroup.format("/../x")) == 3 * 2**30
    # more taken than allowed
    groups = {f"{top}a": limit(version, 2**30, 2**31)}
    assert tree(tmp_path / "over", groups, cgroup.format("/a")) == 0


def test_memory_where_nothing_is_known(tmp_path):
    assert available_memory(str(tmp_path), str(tmp_path)) is None


def test_shared_memory_and_open_files():
    small = machine.shared_memory(64 * 2**20, 4)
    assert (small.level, small.code) == ("warning", "shm-small") and "--shm-size" in small.advice
    assert machine.shared_memory(64 * 2**20, 0).level == "ok"
    assert machine.open_files(256, 4).code == "open-files"
    assert machine.open_files(1024, 4).level == machine.open_files(-1, 4).level == "ok"


def test_a_disk_that_is_full_is_no_matter_of_permission(tmp_path, monkeypatch):
    def full(folder):
        return f"{folder}: No space left on device"

    monkeypatch.setattr(disk, "try_to_write", full)
    (finding,) = disk.writable_work_dir(str(tmp_path / "w"), 0, "")
    assert finding.code == "disk-full"


def test_the_work_dir_is_neither_made_nor_littered(tmp_path):
    (finding,) = disk.writable_work_dir(str(tmp_path / "a" / "b"), 0, "")
    assert finding.level == "ok" or finding.code == "disk-full"
    assert list(tmp_path.iterdir()) == []


# --- GPUs


@pytest.fixture
def nvidia_smi(tmp_path, monkeypatch):
    def put(row, status=0):
        (tmp_path / "nvidia-smi").write_text(f"#!/bin/sh\necho '{row}'\nexit {status}\n")
        (tmp_path / "nvidia-smi").chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return put


def torch_facts(**given):
    facts = {"cuda": "13.0", "hip": None, "available": False, "count": 0, "warnings": [], "architectures": []}
    return Probe({"torch facts": {"ok": True, **facts, **given}})


def problems(findings):
    return {f.code for f in findings if f.is_problem}


A100 = "0, NVIDIA A100, 40000, 40960, {}, 8.0"


def test_gpus(nvidia_smi, monkeypatch):
    nvidia_smi(A100.format("580.65.06"))
    assert problems(gpus.examine_gpus(torch_facts())) == {"cuda-unavailable"}
    assert problems(gpus.examine_gpus(torch_facts(cuda=None))) == {"torch-without-cuda"}
    seen = torch_facts(available=True, count=1, architectures=["sm_80", "sm_90"])
    assert problems(gpus.examine_gpus(seen)) == set()
    assert problems(gpus.examine_gpus(seen, needed_bytes=2**40)) == {"gpu-busy"}
    other = torch_facts(available=True, count=1, architectures=["sm_90", "sm_100"])
    assert problems(gpus.examine_gpus(other)) == {"gpu-unsupported"}
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert problems(gpus.examine_gpus(torch_facts())) == {"gpus-hidden"}
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    assert problems(gpus.examine_gpus(torch_facts())) == {"gpus-hidden"}


def test_an_old_driver_is_named_with_the_cuda_it_runs(nvidia_smi):
    nvidia_smi(A100.format("535.104.05"))
    found = next(f for f in gpus.examine_gpus(torch_facts()) if f.is_problem)
    assert found.code == "driver-old" and "580.65.06" in found.message and "CUDA 12" in found.advice


def test_a_driver_that_does_not_answer(nvidia_smi):
    nvidia_smi("Failed to initialize NVML: Driver/library version mismatch", 18)
    (found,) = gpus.examine_gpus(Probe())
    assert found.code == "nvidia-smi-fails" and "version mismatch" in found.message


@pytest.mark.parametrize(
    ("architectures", "capability", "runs"),
    [
        (["sm_80"], "8.6", True),  # binary compatible within a major version
        (["sm_86"], "8.0", False),
        (["sm_70", "compute_70"], "9.0", True),  # compiled when loaded
        (["sm_100a"], "10.0", True),
        (["sm_90"], "7.0", False),
    ],
)
def test_kernels_for_a_gpu(architectures, capability, runs):
    assert gpus._supports(architectures, capability) is runs


# --- exceptions as they are met


def raised(kind, message, name=None):
    return {"type": kind, "message": message, "frame": "", "missing": name, "causes": []}


@pytest.mark.parametrize(
    ("step", "problem", "code"),
    [
        ("torchvision", raised("RuntimeError", "operator torchvision::nms does not exist"), "torchvision-ops"),
        (
            "torchvision",
            raised("RuntimeError", "Detected that PyTorch and torchvision were compiled with different CUDA versions."),
            "torchvision-build",
        ),
        ("cv2", raised("ImportError", "libGL.so.1: cannot open shared object file: No such file"), "missing-library"),
        ("torch", raised("ImportError", "libcudnn.so.9: cannot open shared object file: No"), "missing-library"),
        ("cv2", raised("ImportError", "numpy.core.multiarray failed to import"), "numpy-broken"),
        ("sklearn", raised("ValueError", "numpy.dtype size changed, may indicate binary"), "numpy-broken"),
        ("mim", raised("ModuleNotFoundError", "No module named 'pkg_resources'", "pkg_resources"), "pkg-resources"),
        ("mmcv", raised("ModuleNotFoundError", "No module named 'addict'", "addict"), "import-failed"),
    ],
)
def test_known_exceptions_get_their_own_advice(step, problem, code):
    finding = explain(step, problem, {})
    assert finding.code == code and problem["message"][:20] in finding.message


def test_the_missing_module_of_an_import_is_what_is_installed():
    assert explain("mmcv", raised("ModuleNotFoundError", "No module", "addict"), {}).advice == "pip install addict"


def test_the_files_are_read_by_python_3_8():
    import ast

    for path in [*SOURCES, ROOT / "otcxr_mm" / "__init__.py", ROOT / "otcxr_mm" / "version.py"]:
        tree = ast.parse(path.read_text(), feature_version=(3, 8))
        first = next(n for n in tree.body if not (isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant)))
        assert path.name in ("version.py", "__main__.py") or first.module == "__future__", path


def test_this_process_imports_the_standard_library_alone(python):
    code = (
        "import sys; from otcxr_mm.doctor import examine; examine(imports=False); "
        "print([m for m in ('torch', 'numpy', 'mmengine', 'click', 'yaml') if m in sys.modules])"
    )
    assert python("-c", code).stdout.strip() == "[]"
    assert PathFinder.find_spec("otcxr_mm") or "otcxr_mm" in sys.modules


@pytest.mark.parametrize(
    ("asked", "torch", "fits"),
    [
        ("torch (>=2.14.0)", "2.15.0+cu132", True),
        ("torch>=2.14.0", "2.14.0", True),
        ("torch (>=2.14.0)", "2.13.1", False),
        ("torch (==2.14.0)", "2.15.0", False),
        ("numpy", "2.15.0", False),
    ],
)
def test_a_torchvision_that_asks_for_any_newer_torch_is_taken_at_its_word(asked, torch, fits):
    vision = Distribution("torchvision", "0.29.2", "/nowhere", requires=["pillow", asked])
    assert packages_of._asks_for_no_more({"torchvision": [vision]}, torch) is fits


def test_python_3_12_with_an_old_setuptools_is_an_error_for_upstream(monkeypatch):
    engine = Distribution("mmengine", "0.10.7", "/nowhere")
    old, new = (Distribution("setuptools", version, "/nowhere") for version in ("60.2.0", "81.0.0"))
    monkeypatch.setattr(packages_of.sys, "version_info", (3, 12, 1))
    (found,) = packages_of.pkg_resources({"mmengine": [engine], "setuptools": [old]})
    assert (found.level, found.code) == ("error", "pkg-resources")
    assert "setuptools 60.2.0" in found.message
    assert "setuptools>=77,<82" in found.advice
    assert all(f.level != "error" for f in packages_of.pkg_resources({"mmengine": [engine], "setuptools": [new]}))
    assert not packages_of.pkg_resources({"setuptools": [old]})
