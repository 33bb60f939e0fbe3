# Fine-tuning a MobileNetV2, otherwise as finetune_r18_kermany.py.
#   python tools/train.py configs/downstream/finetune/finetune_mobilenetv2_kermany.py
_base_ = ["./finetune_r18_kermany.py"]
model = dict(
    data_preprocessor=dict(channels=3),  # MMPretrain's MobileNetV2 has no other stem
    backbone=dict(_delete_=True, type="MobileNetV2"),
    head=dict(in_channels=1280),
)
default_hooks = dict(load_backbone=dict(checkpoint="work_dirs/otcxr_mobilenetv2_imagenet_cpu/backbone.pth"))
