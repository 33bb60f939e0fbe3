# Weighted k nearest neighbours among features that are computed once (otcxr_mm.KNNEvalLoop).
_base_ = ["./downstream_runtime.py"]

protocol = "knn"
default_hooks = dict(checkpoint=dict(interval=-1))  # the loop writes knn.pth itself
# an untrained backbone needs calibrate=True: its batch norm has seen no data
train_cfg = dict(type="otcxr_mm.KNNEvalLoop", ks=(5, 10, 20, 50, 100), calibrate=False)
# MMEngine wants one; nothing is trained by gradients
optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="SGD", lr=0.0))
