# Linear evaluation: the head is fitted to convergence on features that are computed once (otcxr_mm.LinearEvalLoop).
_base_ = ["./default_runtime.py"]

default_hooks = dict(checkpoint=dict(interval=-1))  # the loop writes linear.pth itself
train_cfg = dict(type="otcxr_mm.LinearEvalLoop", decays=(1e-4, 1e-3, 1e-2, 1e-1, 1.0))
val_cfg = dict()
test_cfg = dict()
# MMEngine wants one; L-BFGS inside the loop does the work
optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="SGD", lr=0.0))
val_evaluator = dict(type="otcxr_mm.MultiLabelAUC", draws=0)  # no intervals
test_evaluator = dict(type="otcxr_mm.MultiLabelAUC")
