"""Two gloo processes against one with the joint batch."""

import os
import re
import signal
import socket
import subprocess
import sys

import numpy as np
import pytest
import torch
import torch.distributed as torch_dist
import torch.multiprocessing as mp
from mmpretrain.structures import DataSample
from torch.nn.parallel import DistributedDataParallel

import otcxr_mm
from otcxr_mm.models.norm import CrossRankBatchNorm1d
from otcxr_mm.ops import all_reduce_sum, gather
from tests.conftest import ROOT, write_image

BATCH = 8
BACKBONES = {
    "LayerNorm": dict(
        type="VisionTransformer",
        arch=dict(embed_dims=32, num_layers=2, num_heads=2, feedforward_channels=64),
        img_size=32,
        patch_size=8,
        in_channels=1,
        out_type="featmap",
    ),
    "frozen BN": dict(
        type="ResNet",
        depth=18,
        base_channels=8,
        stem_channels=8,
        in_channels=1,
        out_indices=(3,),
        norm_eval=True,
        zero_init_residual=False,
    ),
}
CASES = {
    "LayerNorm": {},
    "frozen BN": {},
    "every choice": dict(
        head=dict(marginals="visibility", prior_scale=0.25, guard=True, centre="batch", loss_ot=dict(rho=1.0)),
        ema=0.1,
    ),
    "debiased": dict(head=dict(loss_ot=dict(debiased=True))),
    "cosine at each position": dict(
        head=dict(centre="position", statistics="flattened", loss_ot=dict(metric="cosine"))
    ),
}


def build(case):
    torch.manual_seed(0)
    backbone = BACKBONES.get(case, BACKBONES["LayerNorm"])
    channels = (32,) if backbone["type"] == "VisionTransformer" else (64,)
    neck = dict(
        type="otcxr_mm.CVSIM",
        in_channels=channels,
        embed_dims=32,
        num_heads=2,
        hidden_channels=48,
        out_channels=24,
        detach_context=False,
    )
    options = CASES[case]
    head = dict(type="otcxr_mm.OTHead", **options.get("head", {}))
    model = otcxr_mm.OTCXR(dict(backbone), neck, head, ema=options.get("ema")).double()
    model.init_weights()
    model.train()
    if model.target is not None:
        model.sync_target()
    return model


def images():
    generator = torch.Generator().manual_seed(1)
    views = [torch.randn(BATCH, 1, 32, 32, generator=generator, dtype=torch.float64) for _ in range(2)]
    samples = []
    for i in range(BATCH):
        shift = np.array([[0.6, 0, 0.05 * i], [0, 0.6, 0.2]])
        samples.append(DataSample(metainfo={"view_to_image": np.stack([shift, shift + 0.03])}))
    return views, samples


def step(model, views, samples):
    losses = model(views, samples, mode="loss")
    loss = sum(value for name, value in losses.items() if name.startswith("loss"))
    loss.backward()
    return {name: value.detach() for name, value in losses.items()} | {"total": loss.detach()}


def worker(rank, case, init, out):
    torch.set_num_threads(1)
    torch_dist.init_process_group("gloo", init_method=init, rank=rank, world_size=2)
    model = build(case)
    views, samples = images()
    half = slice(rank * BATCH // 2, (rank + 1) * BATCH // 2)
    losses = step(DistributedDataParallel(model), [v[half] for v in views], samples[half])
    for value in losses.values():
        torch_dist.all_reduce(value)
    if rank == 0:
        grads = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
        torch.save(({name: value / 2 for name, value in losses.items()}, grads, dict(model.named_buffers())), out)
    torch_dist.destroy_process_group()


@pytest.mark.parametrize("case", CASES)
def test_two_processes_equal_one_with_the_joint_batch(case, tmp_path):
    mp.spawn(worker, (case, f"file://{tmp_path}/init", tmp_path / "out.pth"), nprocs=2)
    losses, grads, buffers = torch.load(tmp_path / "out.pth", weights_only=True)
    model = build(case)
    expected = step(model, *images())
    for name, value in expected.items():
        assert abs(losses[name] - value) <= 1e-9 * abs(value) + 1e-15, name
    reference = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    assert grads.keys() == reference.keys()
    worst = max(((grads[name] - g).norm() / g.norm()).item() for name, g in reference.items() if g.norm() > 1e-12)
    print(f"{case}: worst relative difference of a gradient {worst:.1e}")
    assert worst <= 1e-9
    for name, value in model.named_buffers():  # the running statistics of the projector too
        torch.testing.assert_close(buffers[name], value, rtol=1e-9, atol=1e-12)


def collectives(rank, init, out):
    torch_dist.init_process_group("gloo", init_method=init, rank=rank, world_size=2)
    x = (torch.arange(3.0, dtype=torch.float64) + 10 * rank).requires_grad_()
    (gather(x) * torch.arange(6.0) * (rank + 1)).sum().backward()
    y = torch.tensor(2.0 + rank, requires_grad=True)
    (all_reduce_sum(y) ** 2 * (rank + 1)).backward()
    norm = CrossRankBatchNorm1d(4)
    uneven = torch.randn(9, 4, generator=torch.Generator().manual_seed(0))
    normalised = norm(uneven[:2] if rank == 0 else uneven[2:])
    torch.save((x.grad, y.grad, normalised.detach(), norm.running_var), f"{out}{rank}")
    torch_dist.destroy_process_group()


def test_collectives_sum_the_gradients_of_all_processes(tmp_path):
    mp.spawn(collectives, (f"file://{tmp_path}/init", tmp_path / "out"), nprocs=2)
    ranks = [torch.load(tmp_path / f"out{r}", weights_only=True) for r in range(2)]
    assert ranks[0][0].tolist() == [0, 3, 6]  # (1 + 2) x the weights of this rank's slice
    assert ranks[1][0].tolist() == [9, 12, 15]
    assert ranks[0][1] == ranks[1][1] == 2 * 5 * 3
    # batch norm with an uneven share is that of the joint batch
    joint = torch.nn.BatchNorm1d(4)
    expected = joint(torch.randn(9, 4, generator=torch.Generator().manual_seed(0)))
    torch.testing.assert_close(torch.cat([ranks[0][2], ranks[1][2]]), expected.detach())
    torch.testing.assert_close(ranks[1][3], joint.running_var)


def test_alone_they_are_identities():
    x = torch.randn(3)
    assert gather(x) is x
    assert all_reduce_sum(x) is x
    norm, reference = CrossRankBatchNorm1d(4), torch.nn.BatchNorm1d(4)
    x = torch.randn(6, 4)
    assert torch.equal(norm(x), reference(x))


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_the_pytorch_launcher_trains_on_cpus_and_resumes(tmp_path):
    for i in range(16):
        write_image(tmp_path / "images" / f"{i}.png", (40, 40))
    env = {**os.environ, "TINY_DATA": str(tmp_path / "images"), "PYTHON": sys.executable, "PORT": str(free_port())}
    command = [
        "bash",
        "tools/dist_train.sh",
        "tests/tiny.py",
        "2",
        "--work-dir",
        tmp_path / "work",
        "--auto-scale-lr",
    ]

    def run(*args):
        result = subprocess.run([*command, *args], cwd=ROOT, env=env, capture_output=True, text=True, timeout=240)
        assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
        return result.stdout + result.stderr

    output = run("--cfg-options", "train_cfg.max_epochs=2")
    assert "batches of 4 images x 2 processes = 8, learning rate 0.001, to be scaled to the batch" in output
    assert re.search(r"Epoch\(train\)\s+\[2\]\[2/2\]", output)  # 16 images, 2 x 4 an iteration
    assert (tmp_path / "work" / "backbone.pth").is_file()
    resumed = run("--resume", "--cfg-options", "train_cfg.max_epochs=4")
    assert re.search(r"resumed epoch: \d, iter: [234]", resumed)


def test_a_signal_to_torchrun_saves_and_no_process_complains(tmp_path):
    for i in range(16):
        write_image(tmp_path / "images" / f"{i}.png", (40, 40))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "-m", "otcxr_mm"]
    command += ["train", "tests/tiny.py", "--work-dir", tmp_path / "work", "--launcher", "pytorch"]
    command += ["--cfg-options", "train_cfg.max_epochs=1000", "param_scheduler=[]"]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, "TINY_DATA": str(tmp_path / "images")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    seen = []
    for line in process.stdout:
        seen.append(line)
        if "Epoch(train)" in line:
            break
    process.send_signal(signal.SIGTERM)
    seen.append(process.communicate(timeout=120)[0])
    output = "".join(seen)
    assert "SIGTERM: saved" in output, output[-3000:]
    assert "RuntimeError" not in output, output[-3000:]
    assert (tmp_path / "work" / "interrupted.pth").is_file()
