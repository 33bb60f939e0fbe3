# Linear evaluation: the head is fitted to convergence on features that are computed once.
_base_ = ["../default_runtime.py"]

# ks are the numbers of neighbours to try with model.head.type=otcxr_mm.KNNHead
train_cfg = dict(
    type="otcxr_mm.LinearEvalLoop",
    decays=(1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0),
    ks=(5, 10, 20, 50, 100),
)
val_cfg = dict()
# thresholds are chosen on the validation images
test_cfg = dict(type="otcxr_mm.ValThenTestLoop")
# MMEngine requires one; L-BFGS in the loop does the work
optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="SGD", lr=0.0))

default_hooks = dict(
    # fills the backbone before training; None leaves it untrained, which needs calibrate=True, because its batch norm
    # has seen no data
    load_backbone=dict(type="otcxr_mm.LoadBackboneHook", checkpoint=None),
    # counts the training labels where the loss has pos_weight="train"
    positive_weight=dict(type="otcxr_mm.PositiveWeightHook"),
    # writes results.json, predictions.npz and pictures after the test
    results=dict(type="otcxr_mm.ResultsHook"),
    # the loop itself writes linear.pth or knn.pth
    checkpoint=dict(interval=-1),
)
