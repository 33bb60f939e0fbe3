# Linear evaluation on the built-in radiographs of a backbone that a pre-training run has written.
#   python tools/train.py configs/demo/linear_r18_synthetic.py
#   python tools/test.py configs/demo/linear_r18_synthetic.py work_dirs/linear_r18_synthetic/linear.pth
_base_ = ["../_base_/datasets/synthetic_96.py", "../_base_/linear_runtime.py"]

model = dict(
    type="ImageClassifier",
    data_preprocessor=dict(type="otcxr_mm.CXRDataPreprocessor", mean=[127.5], std=[64.0], channels=1),
    backbone=dict(
        type="ResNet",
        depth=18,
        in_channels=1,
        base_channels=32,
        stem_channels=32,
        norm_cfg=dict(type="BN"),
        zero_init_residual=False,
    ),
    neck=dict(type="GlobalAveragePooling"),
    head=dict(
        type="MultiLabelLinearClsHead",
        num_classes=8,
        in_channels=256,
        loss=dict(type="otcxr_mm.MaskedBCELoss"),
    ),
)
train_dataloader = dict(dataset=dict(test_mode=True))
# an untrained backbone instead: --cfg-options custom_hooks=None train_cfg.calibrate=True
custom_hooks = [dict(type="otcxr_mm.LoadBackboneHook", checkpoint="work_dirs/otcxr_r18_synthetic/backbone.pth")]
