# Linear evaluation: the head is fitted to convergence on features that are computed once (otcxr_mm.LinearEvalLoop).
_base_ = ["./downstream_runtime.py"]

protocol = "linear"
default_hooks = dict(checkpoint=dict(interval=-1))  # the loop writes linear.pth itself
# an untrained backbone needs calibrate=True: its batch norm has seen no data
train_cfg = dict(type="otcxr_mm.LinearEvalLoop", decays=(1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0), calibrate=False)
# MMEngine wants one; L-BFGS inside the loop does the work
optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="SGD", lr=0.0))
