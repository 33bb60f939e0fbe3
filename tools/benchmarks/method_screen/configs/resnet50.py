# Merged over a method's config: a ResNet-50 at 224 pixels from random weights, on the training patients of three sets,
# 10,740 images. Images are packed at their own size, at most 256 pixels on the shorter side.
_base_ = ["./imagenet.py"]

pipeline = [
    dict(type="otcxr_mm.LoadCXR"),
    dict(type="otcxr_mm.TwoViewCrop", size=224, scale=(0.25, 1.0), min_overlap=0.3, flip=0.5),
    dict(type="otcxr_mm.PhotometricCXR"),
    dict(type="otcxr_mm.PackViews"),
]
_packed = "{{$OTCXR_SCREEN:work_dirs/methods}}/packed"
_kermany, _nih, _followup = _base_.train_dataloader.dataset.datasets
_kermany.update(packed=f"{_packed}/kermany_256", pipeline=pipeline)
_nih.update(packed=f"{_packed}/nih_256", pipeline=pipeline)
_followup.update(packed=f"{_packed}/nih_followup_256", pipeline=pipeline)
model = dict(
    backbone={
        "_delete_": True,
        **_base_.backbone,
        "depth": 50,
        "base_channels": 64,
        "stem_channels": 64,
        "zero_init_residual": True,
    },
    data_preprocessor=dict(mean=[127.5], std=[64.0], channels=1),
)
train_dataloader = dict(dataset=dict(datasets=[_kermany, _nih, _followup]))
