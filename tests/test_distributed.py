"""Two gloo processes against one with the joint batch."""

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

from otcxr_mm.models.norm import CrossRankBatchNorm1d
from otcxr_mm.ops import all_reduce_sum, covariance_matrix
from tests.conftest import ROOT, write_image
from tests.models.test_otcxr import model, total

pytestmark = pytest.mark.xdist_group("distributed")

BATCH = 8
EVERY = dict(marginals="visibility", prior_scale=0.25, guard=True, centre="batch", loss_ot=dict(rho=1.0))
COSINE = dict(centre="position", statistics="flattened", loss_ot=dict(metric="cosine"))
CASES = {
    "default": {},
    "every choice": dict(head=EVERY, neck=dict(detach_context=False), ema=0.1),
    "debiased": dict(head=dict(loss_ot=dict(debiased=True))),
    "cosine at each position": dict(head=COSINE),
}


def build(case):
    torch.manual_seed(0)
    made = model(**CASES[case]).double()
    for backbone in (module for module in made.modules() if hasattr(module, "norm_eval")):
        backbone.norm_eval = True  # its batch norm sees one process alone
    made.train()
    if made.target is not None:
        made.sync_target()
    return made


def images():
    generator = torch.Generator().manual_seed(1)
    views = [torch.randn(BATCH, 1, 64, 64, generator=generator, dtype=torch.float64) for _ in range(2)]
    samples = []
    for i in range(BATCH):
        shift = np.array([[0.6, 0, 0.05 * i], [0, 0.6, 0.2]])
        samples.append(DataSample(metainfo={"view_to_image": np.stack([shift, shift + 0.03])}))
    return views, samples


def step(model, views, samples):
    losses = model(views, samples, mode="loss")
    total(losses).backward()
    return {name: value.detach() for name, value in losses.items()}


def joint_step(rank, case):
    """Losses, gradients and buffers of a process that has half of the batch."""
    made = build(case)
    views, samples = images()
    half = slice(rank * BATCH // 2, (rank + 1) * BATCH // 2)
    losses = step(DistributedDataParallel(made), [v[half] for v in views], samples[half])
    for value in losses.values():
        torch_dist.all_reduce(value)
    grads = {name: p.grad for name, p in made.named_parameters() if p.grad is not None}
    return {name: value / 2 for name, value in losses.items()}, grads, dict(made.named_buffers())


def collectives(rank):
    tokens = torch.randn(6, 9, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    matrix = covariance_matrix(tokens[3 * rank : 3 * rank + 3])
    y = torch.tensor(2.0 + rank, requires_grad=True)
    (all_reduce_sum(y) ** 2 * (rank + 1)).backward()
    norm = CrossRankBatchNorm1d(4)
    uneven = torch.randn(9, 4, generator=torch.Generator().manual_seed(0))
    normalised = norm(uneven[:2] if rank == 0 else uneven[2:])
    return matrix, y.grad, normalised.detach(), norm.running_var


def worker(rank, folder):
    torch.set_num_threads(1)
    torch_dist.init_process_group("gloo", init_method=f"file://{folder}/init", rank=rank, world_size=2)
    found = {case: joint_step(rank, case) for case in CASES}
    torch.save({**found, "collectives": collectives(rank)}, folder / f"{rank}.pth")
    torch_dist.destroy_process_group()


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    """What each of two processes has computed, started once for all cases."""
    folder = tmp_path_factory.mktemp("gloo")
    mp.spawn(worker, (folder,), nprocs=2)
    return [torch.load(folder / f"{rank}.pth", weights_only=True) for rank in range(2)]


@pytest.mark.parametrize("case", CASES)
def test_two_processes_equal_one_with_the_joint_batch(case, ranks):
    losses, grads, buffers = ranks[0][case]
    made = build(case)
    expected = step(made, *images())
    for name, value in expected.items():
        assert abs(losses[name] - value) <= 1e-9 * abs(value) + 1e-15, name
    reference = {name: p.grad for name, p in made.named_parameters() if p.grad is not None}
    assert grads.keys() == reference.keys()
    assert (
        max(((grads[name] - g).norm() / g.norm()).item() for name, g in reference.items() if g.norm() > 1e-12) <= 1e-9
    )
    for name, value in made.named_buffers():  # the running statistics of the projector too
        torch.testing.assert_close(buffers[name], value, rtol=1e-9, atol=1e-12)


def test_collectives_sum_the_gradients_of_all_processes(ranks):
    first, second = (rank["collectives"] for rank in ranks)
    tokens = torch.randn(6, 9, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    residual = (tokens - tokens.mean(0)).flatten(0, 1)
    for matrix in (first[0], second[0]):  # 9 x (6 - 1) degrees of freedom
        torch.testing.assert_close(matrix, residual.T @ residual / 45, rtol=1e-12, atol=1e-12)
    assert first[1] == second[1] == 2 * 5 * 3
    # batch norm with an uneven share is that of the joint batch
    joint = torch.nn.BatchNorm1d(4)
    expected = joint(torch.randn(9, 4, generator=torch.Generator().manual_seed(0)))
    torch.testing.assert_close(torch.cat([first[2], second[2]]), expected.detach())
    torch.testing.assert_close(second[3], joint.running_var)


def test_alone_the_norm_is_that_of_torch():
    norm, reference = CrossRankBatchNorm1d(4), torch.nn.BatchNorm1d(4)
    x = torch.randn(6, 4)
    assert torch.equal(norm(x), reference(x))
    assert torch.equal(norm.eval()(x), reference.eval()(x))
    assert isinstance(norm, torch.nn.modules.batchnorm._BatchNorm)  # for rules of weight decay


def test_torchrun_is_interrupted_by_a_signal_and_the_launcher_resumes(tmp_path, monkeypatch):
    for i in range(16):
        write_image(tmp_path / "images" / f"{i}.png", (40, 40))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        variables = dict(PORT=str(probe.getsockname()[1]), PYTHON=sys.executable, TINY_DATA=str(tmp_path / "images"))
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    options = ["--work-dir", tmp_path / "work", "--auto-scale-lr", "--cfg-options", "param_scheduler=[]"]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "-m", "otcxr_mm"]
    command = [*torchrun, "train", "tests/tiny.py", "--launcher", "pytorch", *options, "train_cfg.max_epochs=1000"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        output = ""
        while "Epoch(train)" not in output:
            output += process.stdout.readline() or pytest.fail(output[-3000:])
        process.send_signal(signal.SIGTERM)
        output += process.communicate(timeout=120)[0]
    assert "batches of 4 images x 2 processes = 8, learning rate 0.001, to be scaled to the batch" in output
    assert "SIGTERM: saved" in output, output[-3000:]
    assert "RuntimeError" not in output, output[-3000:]
    assert (tmp_path / "work" / "interrupted.pth").is_file()

    command = ["bash", "tools/dist_train.sh", "tests/tiny.py", "2", "--resume", *options, "train_cfg.max_epochs=20"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240)
    output = result.stdout + result.stderr
    assert result.returncode == 0, output[-3000:]
    assert re.search(r"resumed epoch: \d+, iter: \d+", output)
    assert re.search(r"Epoch\(train\)\s+\[20\]\[2/2\]", output)  # 16 images, 2 x 4 an iteration
    assert (tmp_path / "work" / "backbone.pth").is_file()
