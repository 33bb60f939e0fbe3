# Linear evaluation on NIH ChestX-ray14 of a backbone that a pre-training run has written.
#   export OTCXR_NIH=FOLDER  # as NIH ships it
#   python tools/train.py configs/benchmarks/linear/otcxr_linear_r50_nih.py
#   python tools/test.py configs/benchmarks/linear/otcxr_linear_r50_nih.py work_dirs/otcxr_linear_r50_nih/linear.pth
# Another backbone, ImageNet's from a local file too (its stem is brought to one channel):
#   --cfg-options custom_hooks.0.checkpoint=FILE
# The official train_val list is parted by patient, the same way on every machine: val chooses the weight decay.
_base_ = ["../../_base_/linear_runtime.py"]

model = dict(
    type="ImageClassifier",
    data_preprocessor=dict(type="otcxr_mm.CXRDataPreprocessor", mean=[127.5], std=[64.0], channels=1),
    backbone=dict(type="ResNet", depth=50, in_channels=1, norm_cfg=dict(type="BN")),
    neck=dict(type="GlobalAveragePooling"),
    head=dict(
        type="MultiLabelLinearClsHead",
        num_classes=14,
        in_channels=2048,
        loss=dict(type="otcxr_mm.MaskedBCELoss"),
    ),
)
custom_hooks = [dict(type="otcxr_mm.LoadBackboneHook", checkpoint="work_dirs/otcxr_r50_nih/backbone.pth")]

pipeline = [
    dict(type="otcxr_mm.LoadCXR"),
    dict(type="Resize", scale=(224, 224)),
    dict(type="PackInputs"),
]
loader = dict(
    batch_size=64,
    num_workers=4,
    sampler=dict(type="DefaultSampler", shuffle=False),
    collate_fn=dict(type="default_collate"),
)
# with test_mode a broken image is an error: nothing else takes its place
nih = dict(
    type="otcxr_mm.NIHChestXray14",
    data_root="{{$OTCXR_NIH:data/nih}}",
    pipeline=pipeline,
    test_mode=True,
)
parts = dict(within="train_val", split_by_hash=(("train", 0.875), ("val", 0.125)))
train_dataloader = dict(**loader, dataset=dict(**nih, **parts, split="train"))
val_dataloader = dict(**loader, dataset=dict(**nih, **parts, split="val"))
test_dataloader = dict(**loader, dataset=dict(**nih, split="test"))
