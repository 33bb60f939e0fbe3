# Merged over a method's config: starts from MobileNetV2 with ImageNet's weights, and trains on the training patients of
# three sets, 10,740 images.
_base_ = ["./screen.py"]

_folder = "{{$OTCXR_DATA:../shared/data}}"
_packed = "{{$OTCXR_SCREEN:work_dirs/methods}}/packed"
model = dict(
    backbone=dict(
        _delete_=True,
        type="ScreenMobileNetV2",
        out_indices=(7,),
        conv_cfg=dict(type="SameConv2d"),
        init_cfg=dict(type="Pretrained", checkpoint=f"{_folder}/weights/mobilenetv2_imagenet_mmpretrain.pth"),
    ),
    data_preprocessor=dict(mean=[127.0], std=[127.5], channels=3),
)
_unlabeled = dict(
    type="otcxr_mm.UnlabeledCXR", img_prefix="images", split="train", pipeline=_base_.pipeline, pairs=None
)
# the table names the numbers of visits, for pairs
_nih = dict(ann_file="Data_Entry_2017_v2020.csv", split_file="patient_split.csv", **_unlabeled)
train_dataloader = dict(
    dataset=dict(
        datasets=[
            dict(data_root=f"{_folder}/kermany", ann_file="labels.csv", packed=f"{_packed}/kermany_160", **_unlabeled),
            dict(data_root=f"{_folder}/nih", packed=f"{_packed}/nih_160", **_nih),
            dict(data_root=f"{_folder}/nih_followup", packed=f"{_packed}/nih_followup_160", **_nih),
        ],
    ),
)
