"""What only a GPU can show; skipped without one, and without OTCXR_TEST_GPU=1."""

import pytest
import torch

import otcxr_mm
from otcxr_mm.models import Tokens
from otcxr_mm.ops import cost, sinkhorn
from tests.models.test_otcxr import batch, losses, model, total

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")


def test_sinkhorn_on_the_gpu_is_that_on_the_cpu_whatever_tf32_says():
    x, y = torch.randn(8, 49, 128), torch.randn(8, 49, 128)
    torch.set_float32_matmul_precision("high")
    try:
        gpu = sinkhorn(cost(x.cuda(), y.cuda()), eps=0.05)
    finally:
        torch.set_float32_matmul_precision("highest")
    torch.testing.assert_close(gpu.plan.cpu(), sinkhorn(cost(x, y), eps=0.05).plan, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("rho", [None, 0.5])
@pytest.mark.parametrize(("n", "m"), [(5, 17), (50, 50), (197, 197), (256, 130)])
def test_the_fused_kernel_is_scale(monkeypatch, n, m, rho):
    pytest.importorskip("triton")
    c, a, b = torch.rand(3, n, m).cuda(), torch.rand(3, n).cuda() + 0.1, torch.rand(3, m).cuda() + 0.1
    a[:, 1], b[:, 0] = 0, 0
    a, b = a / a.sum(1, keepdim=True), b / b.sum(1, keepdim=True)
    found = []
    for switch in ("0", "1", "1"):
        monkeypatch.setenv("OTCXR_FUSED_TRANSPORT", switch)
        leaf = c.clone().requires_grad_()
        result = sinkhorn(leaf, a, b, eps=0.05, rho=rho, n_iters=25)
        gradient = torch.autograd.grad(result.value.sum(), leaf)[0]
        f, g = result.potentials
        found.append((result.plan, result.value.detach(), result.entropy, f[a > 0], g[b > 0], gradient))
    for fused, again, expected in zip(found[1], found[2], found[0], strict=True):
        torch.testing.assert_close(fused, expected, rtol=1e-4, atol=1e-6)
        assert torch.equal(fused, again)  # no thread reads what another one is writing


@pytest.mark.parametrize("rho", [None, 1.0])
def test_the_loss_never_waits_for_the_gpu(rho):
    head = otcxr_mm.OTHead(loss_ot=dict(rho=rho), marginals="visibility", prior_scale=0.25).cuda()
    q = [Tokens(torch.randn(8, 9, 16, device="cuda", requires_grad=True), None, (3, 3)) for _ in range(2)]
    matrices = torch.tensor([[0.5, 0, 0.1], [0, 0.5, 0.2]], device="cuda").expand(8, 2, 2, 3)
    head.loss(*q, matrices)  # workspaces are made
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        total(head.loss(*q, matrices)).backward()
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_autocast_on_loss_and_gradients(dtype):
    m = model(head={"marginals": "visibility", "prior_scale": 0.25}).cuda()
    # a scale that does not overflow: the default one is halved until it does not
    scaler = torch.amp.GradScaler("cuda", init_scale=16.0, enabled=dtype == torch.float16)
    with torch.autocast("cuda", dtype=dtype):
        result = losses(m, batch(b=8))
    assert {v.dtype for k, v in result.items() if "loss" in k} == {torch.float32}
    scaler.scale(total(result)).backward()
    assert torch.isfinite(total(result))
    assert all(torch.isfinite(p.grad).all() for p in m.parameters())


@pytest.mark.parametrize("kind", ["linear", "finetune"])
def test_a_run_on_labels_and_its_test(tmp_path, kind):
    from tests.engine.runs import runner

    run = runner(tmp_path, kind)
    assert next(run.train().parameters()).is_cuda
    assert 0 <= run.test()["multilabel/auroc"] <= 1


def test_a_trained_model_answers_as_on_the_cpu(tmp_path, monkeypatch):
    from tests.apis.weights import write_classifier
    from tests.conftest import write_image

    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    write_classifier(tmp_path)
    for i in range(3):
        write_image(tmp_path / "in" / f"{i}.png")
    images = str(tmp_path / "in")
    found = [otcxr_mm.CXRClassifierInferencer(tmp_path, device)(images, batch_size=2) for device in ("cpu", "cuda")]
    for one, other in zip(*found, strict=True):
        assert one["scores"] == pytest.approx(other["scores"], abs=1e-3)
    features = [otcxr_mm.load_backbone(tmp_path, device).embed(images) for device in ("cpu", "cuda")]
    torch.testing.assert_close(*features, rtol=1e-2, atol=1e-2)
    otcxr_mm.CXRClassifierInferencer(tmp_path, "cuda")(images, show_dir=tmp_path / "drawn")
    assert len(list((tmp_path / "drawn").iterdir())) == 3
