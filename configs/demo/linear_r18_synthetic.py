# Linear evaluation on the built-in radiographs of a backbone pre-trained on them.
#   python tools/train.py configs/demo/linear_r18_synthetic.py
#   python tools/test.py work_dirs/linear_r18_synthetic
# Another backbone: --cfg-options default_hooks.load_backbone.checkpoint=FILE; an untrained one: =None, with
# default_hooks.load_backbone.calibrate=True
_base_ = [
    "../_base_/models/classifier_r18.py",
    "../_base_/datasets/synthetic_96.py",
    "../_base_/schedules/linear.py",
]

train_dataloader = dict(dataset=dict(test_mode=True))
default_hooks = dict(load_backbone=dict(checkpoint="work_dirs/otcxr_r18_synthetic/backbone.pth"))
