# A small FCN head on the ResNet-18 of half the usual width, one sigmoid map a class.
model = dict(
    type="otcxr_mm.MaskSegmentor",
    data_preprocessor=dict(type="otcxr_mm.CXRDataPreprocessor", mean=[127.5], std=[64.0], channels=1),
    # classifier_r18_thin.py's, all four stages given on
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
        type="otcxr_mm.FCNMaskHead",
        # the last three stages side by side at an eighth of the image's size
        in_channels=(64, 128, 256),
        in_index=(1, 2, 3),
        input_transform="resize_concat",
        channels=64,
        num_convs=1,
        concat_input=False,
        num_classes=1,
        dropout_ratio=0.1,
        norm_cfg=dict(type="GN", num_groups=8),  # a batch may be one image
        loss_decode=dict(type="otcxr_mm.MaskLoss"),
    ),
)
