# Linear evaluation on the built-in radiographs of a backbone that a pre-training run has written.
#   python tools/train.py configs/demo/linear_r18_synthetic.py
#   python tools/test.py configs/demo/linear_r18_synthetic.py work_dirs/linear_r18_synthetic/linear.pth
_base_ = [
    "../_base_/models/classifier_r18_thin.py",
    "../_base_/datasets/synthetic_96.py",
    "../_base_/linear_runtime.py",
]

train_dataloader = dict(dataset=dict(test_mode=True))
# an untrained backbone instead: --cfg-options default_hooks.load_backbone.checkpoint=None train_cfg.calibrate=True
default_hooks = dict(load_backbone=dict(checkpoint="work_dirs/otcxr_r18_synthetic/backbone.pth"))
