# UPerNet on a ResNet-18 of half the usual width, one sigmoid map per class.
model = dict(
    type="otcxr_mm.MaskSegmentor",
    data_preprocessor=dict(type="otcxr_mm.CXRDataPreprocessor", mean=[127.5], std=[64.0], channels=1),
    # as in classifier_r18.py, with the output of all four stages
    backbone=dict(
        type="mmpretrain.ResNet",
        depth=18,
        in_channels=1,
        base_channels=32,
        stem_channels=32,
        out_indices=(0, 1, 2, 3),
        norm_cfg=dict(type="BN"),
        zero_init_residual=False,
    ),
    decode_head=dict(
        type="otcxr_mm.UPerMaskHead",
        in_channels=(32, 64, 128, 256),
        in_index=(0, 1, 2, 3),
        channels=32,
        pool_scales=(1, 2, 3),
        num_classes=1,
        dropout_ratio=0.1,
        norm_cfg=dict(type="GN", num_groups=8),  # a batch may be one image
        loss_decode=dict(type="otcxr_mm.MaskLoss"),
    ),
)
