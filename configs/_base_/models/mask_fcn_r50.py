# FCN on a ResNet-50 whose last two stages keep stride 8 by dilation, one sigmoid map a class.
model = dict(
    type="otcxr_mm.MaskSegmentor",
    data_preprocessor=dict(type="otcxr_mm.CXRDataPreprocessor", mean=[127.5], std=[64.0], channels=1),
    backbone=dict(
        type="mmpretrain.ResNet",
        depth=50,
        in_channels=1,
        strides=(1, 2, 1, 1),
        dilations=(1, 1, 2, 4),
        out_indices=(0, 1, 2, 3),
        norm_cfg=dict(type="BN"),
    ),
    decode_head=dict(
        type="otcxr_mm.FCNMaskHead",
        in_channels=2048,
        in_index=3,
        channels=512,
        num_convs=2,
        concat_input=True,
        num_classes=1,
        dropout_ratio=0.1,
        norm_cfg=dict(type="GN", num_groups=32),  # a batch may be one image
        loss_decode=dict(type="otcxr_mm.MaskLoss"),
    ),
)
