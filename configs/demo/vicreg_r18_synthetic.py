# VICReg (Bardes, Ponce, LeCun, ICLR 2022) by config alone: MMPretrain's two-view algorithm and neck with VICRegHead.
# Data, augmentation, backbone, schedule and learning rate are those of otcxr_r18_synthetic.py.
#   python tools/train.py configs/demo/vicreg_r18_synthetic.py
_base_ = ["./otcxr_r18_synthetic.py"]

model = dict(
    _delete_=True,
    type="BarlowTwins",
    data_preprocessor=dict(type="otcxr_mm.CXRDataPreprocessor", mean=[127.5], std=[64.0], channels=1),
    backbone=dict(
        type="ResNet",
        depth=18,
        in_channels=1,
        base_channels=32,
        stem_channels=32,
        out_indices=(3,),
        norm_cfg=dict(type="BN"),
        zero_init_residual=True,
    ),
    neck=dict(
        type="NonLinearNeck",
        in_channels=256,
        hid_channels=512,
        out_channels=512,
        num_layers=3,
        with_last_bn=False,
        with_last_bias=True,
        norm_cfg=dict(type="BN1d"),
    ),
    head=dict(type="otcxr_mm.VICRegHead"),
)
