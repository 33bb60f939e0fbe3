# What every evaluation of a backbone on labels shares.
_base_ = ["./default_runtime.py"]

default_hooks = dict(
    # fills the backbone before training; None: an untrained one
    load_backbone=dict(type="otcxr_mm.LoadBackboneHook", checkpoint=None),
    # counts the training labels where the loss says pos_weight="train"
    positive_weight=dict(type="otcxr_mm.PositiveWeightHook"),
    # results.json, predictions.npz and pictures in the work dir, after the test
    results=dict(type="otcxr_mm.ResultsHook"),
)
val_cfg = dict()
# thresholds are chosen on the validation images
test_cfg = dict(type="otcxr_mm.ValThenTestLoop")
val_evaluator = dict(type="otcxr_mm.MultiLabelAUC", draws=0)
test_evaluator = dict(type="otcxr_mm.MultiLabelAUC", draws=2000)
