# UPerNet on a ResNet-50, one sigmoid map per class.
model = dict(
    type="otcxr_mm.MaskSegmentor",
    data_preprocessor=dict(type="otcxr_mm.CXRDataPreprocessor", mean=[127.5], std=[64.0], channels=1),
    backbone=dict(
        type="mmpretrain.ResNet",
        depth=50,
        in_channels=1,
        out_indices=(0, 1, 2, 3),
        norm_cfg=dict(type="BN"),
    ),
    decode_head=dict(
        type="otcxr_mm.UPerMaskHead",
        in_channels=(256, 512, 1024, 2048),
        in_index=(0, 1, 2, 3),
        channels=512,
        pool_scales=(1, 2, 3, 6),
        num_classes=1,
        dropout_ratio=0.1,
        norm_cfg=dict(type="GN", num_groups=32),  # a batch may be one image
        loss_decode=dict(type="otcxr_mm.MaskLoss"),
    ),
)
