"""Every shipped pre-training config, and every shipped evaluation that can follow it, to its first test figure."""

import json
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

from tests.conftest import ROOT

from . import options, own, publishers
from .figures import by_hand, predictions, recorded

# once is enough: the journeys are walked on both lines of OpenMMLab
ONEDL = "onedl-mmengine" in packages_distributions()["mmengine"]
pytestmark = pytest.mark.skipif(not ONEDL, reason="walked on the OneDL line")
FEW = dict.fromkeys(("train", "val", "test"), 16)
MAKERS = {
    "nih": lambda root, data: publishers.nih(root, data, FEW),
    "vinbig": lambda root, data: publishers.vinbig(root, data, FEW),
    "chexpert": lambda root, data: publishers.chexpert(root, data, FEW),
    "mimic": lambda root, data: publishers.mimic(root, data, FEW),
    "padchest": lambda root, data: publishers.padchest(root, data, FEW),
    "rsna": publishers.rsna,
    "siim": publishers.siim,
    "kermany": own.kermany,
    "kermany_lungmask": lambda root, data: own.lungs(root, data, "lung_masks", table=True),
    "lungs": lambda root, data: own.lungs(root, data, "masks", table=False),
}
# all configs look below data/ in the folder in which they run
ENV = {
    "OTCXR_DATA": "data",
    "OTCXR_WEIGHTS": "data/start.pth",
    **{f"OTCXR_{name.upper()}": f"data/{name}" for name in (*MAKERS, "synthetic")},
}


def network(cfg: Config) -> tuple:
    """What two configs must agree on for the backbone of one to fit the other."""
    backbone = cfg.model.backbone
    widths = (backbone.get(key) for key in ("depth", "in_channels", "base_channels", "stem_channels"))
    return backbone.type.rpartition(".")[2], *widths


CONFIGS = {p.stem: Config.fromfile(p) for p in (ROOT / "configs").rglob("*.py") if "_base_" not in p.parts}
PRETRAINING = sorted(name for name, cfg in CONFIGS.items() if "export" in cfg.default_hooks)
EVALUATIONS = sorted(set(CONFIGS) - set(PRETRAINING) - {"supervised_r18_synthetic"})
# those with data sets of their own; their evaluations follow no other
TWINS = {f"otcxr_r50_{name}": f"linear_r50_{name}" for name in ("chexpert", "mimic", "padchest", "all")}
# evaluated once: those, and others that share a network with another one, or whose network no evaluation has
ONCE = {
    **TWINS,
    "otcxr_r50_imagenet_nih": "linear_r50_nih",
    "otcxr_r50_paper_nih": "linear_r50_nih",
    "otcxr_vits_imagenet_nih": "linear_r50_nih",
}
# as docs/downstream.md says
OTHER_NETWORKS = {
    "otcxr_vits_imagenet_nih": """model = dict(
    data_preprocessor=dict(mean=[114.8], std=[57.5]),
    backbone=dict(
        _delete_=True,
        type="VisionTransformer",
        arch="deit-small",
        img_size=64,
        patch_size=16,
        in_channels=1,
        out_type="avg_featmap",
    ),
    neck=None,
    head=dict(in_channels=384),
)""",
}
# walked by test_nih.py, and after otcxr_r18_synthetic, which has the same network
ELSEWHERE = {("otcxr_r50_nih", "linear_r50_nih"), ("otcxr_r18_cpu", "linear_r18_synthetic")}
# pre-training on real images goes to all evaluations of its network, on synthetic ones to the synthetic evaluation
PAIRS = [
    (p, e)
    for p in PRETRAINING
    for e in ([ONCE[p]] if p in ONCE else sorted(set(EVALUATIONS) - set(TWINS.values())))
    if (p, e) not in ELSEWHERE
    and (p in ONCE or network(CONFIGS[p]) == network(CONFIGS[e]) and ("synthetic" in e or "synthetic" not in p))
]


def leaves(spec: Mapping, key: str) -> Iterator[tuple[str, Mapping]]:
    """The data sets of a loader, with their keys in the config."""
    if "datasets" in spec:
        for i, one in enumerate(spec["datasets"]):
            yield from leaves(one, f"{key}.datasets.{i}")
    else:
        yield key, spec


def start_of(name: str, root: Path) -> list[str]:
    """Options that start a config from a file, of three channels as ImageNet's are, instead of a download."""
    cfg = CONFIGS[name]
    if not cfg.default_hooks.get("load_backbone"):
        return []
    backbone = dict(cfg.model.backbone)
    if "in_channels" in backbone:
        backbone["in_channels"] = 3
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        built = MODELS.build(backbone)
    built.init_weights()
    torch.save(built.state_dict(), root / "data" / "start.pth")
    return ["default_hooks.load_backbone.checkpoint=data/start.pth"]


def small(cfg: Config) -> list[str]:
    """Options that make a config of any kind a matter of seconds."""
    found = ["test_evaluator.draws=20"] if "test_evaluator" in cfg else []
    name = Path(cfg.filename).stem
    found += ["default_hooks.checkpoint.save_optimizer=False"] if name in PRETRAINING else []
    side = 64 if {"r50", "vits"} & set(name.split("_")) else 96
    found += ["model.decode_head.channels=64"] if "decode_head" in cfg.model else []
    for part in options.PARTS:
        loader = f"{part}_dataloader"
        if loader not in cfg:
            continue
        found += options.loaders(8, part)
        for key, spec in leaves(cfg[loader].dataset, f"{loader}.dataset"):
            crop = "size" in spec["pipeline"][1]
            found.append(f"{key}.pipeline.1.{f'size={side}' if crop else f'scale=({side},{side})'}")
            if "Synthetic" in spec["type"]:
                found += [f"{key}.patients=40", f"{key}.size=64"]
            elif name in PRETRAINING:
                found.append(f"{key}.indices=8")
    if "decays" in cfg.train_cfg:
        return found + options.DECAYS
    if "max_iters" in cfg.train_cfg:
        return found + options.iterations(1, batch=2)
    return found + options.ONE_EPOCH if "max_epochs" in cfg.train_cfg else found


@pytest.fixture(scope="session")
def root(tmp_path_factory):
    """Where the commands run."""
    return tmp_path_factory.mktemp("matrix")


@pytest.fixture(scope="session")
def planted(root, real_data):
    """All data sets below data/."""
    pytest.importorskip("pydicom")
    return {name: make(root / "data" / name, real_data) for name, make in MAKERS.items()}


@pytest.fixture(scope="session")
def backbone(root, planted, otcxr):
    """The backbone that a pre-training config leaves, trained once."""

    @cache
    def of(name: str) -> Path:
        size = ["model.backbone.img_size=64"] if "img_size" in CONFIGS[name].model.backbone else []
        args = options.cfg(small(CONFIGS[name]), start_of(name, root), size)
        otcxr("train", f"{name}.py", *args, cwd=root, env=ENV, check=True)
        return root / "work_dirs" / name / "backbone.pth"

    return of


def test_all_configs_are_in_the_matrix():
    assert {name for name in CONFIGS if "supervised" not in name} == {name for pair in PAIRS for name in pair}


@pytest.mark.parametrize(
    ("pretraining", "evaluation"),
    [pytest.param(p, e, marks=pytest.mark.xdist_group(p), id=f"{p}-{e}".replace("otcxr_", "")) for p, e in PAIRS],
)
def test_to_the_first_figure(pretraining, evaluation, otcxr, backbone, planted, root, tmp_path):
    cfg = CONFIGS[evaluation]
    if cfg.default_scope == "mmseg":
        pytest.importorskip("mmseg.registry")
    args = options.cfg([f"default_hooks.load_backbone.checkpoint={backbone(pretraining)}"], small(cfg))
    file = f"{evaluation}.py"
    if pretraining in OTHER_NETWORKS:
        file = tmp_path / "mine" / file
        file.parent.mkdir()
        file.write_text(f'_base_ = ["otcxr_mm::{evaluation}.py"]\n{OTHER_NETWORKS[pretraining]}\n')
    work = tmp_path / "work"
    otcxr("train", file, "--work-dir", work, *args, cwd=root, env=ENV, check=True)
    otcxr("test", work, cwd=root, env=ENV, check=True)
    record = json.loads((work / "results.json").read_text())
    assert (record["method"], record["config"]) == (pretraining, evaluation)
    name = Path(cfg.test_dataloader.dataset.get("data_root", "several")).name
    if name not in planted:  # SyntheticCXR draws its own
        assert 0 <= record["metrics"]["multilabel/auroc"] <= 1
    elif record["task"] == "segmentation":
        predictions(work, planted[name])
        assert min(recorded(work, "mask/dice").values()) >= 0
    else:
        classes, auroc = by_hand(work, planted[name])
        expected = dict(zip(classes, auroc.diagonal().tolist(), strict=True))
        assert expected == pytest.approx(recorded(work, "multilabel/auroc"), abs=1e-6)
