# A multi-label classifier on a ResNet-18 of half the usual width; unknown labels (NaN) are ignored.
model = dict(
    type="ImageClassifier",
    data_preprocessor=dict(type="otcxr_mm.CXRDataPreprocessor", mean=[127.5], std=[64.0], channels=1),
    backbone=dict(
        type="ResNet",
        depth=18,
        in_channels=1,
        base_channels=32,
        stem_channels=32,
        norm_cfg=dict(type="BN"),
        zero_init_residual=False,
    ),
    neck=dict(type="GlobalAveragePooling"),
    head=dict(
        type="MultiLabelLinearClsHead",
        num_classes=8,
        in_channels=256,
        loss=dict(type="otcxr_mm.MaskedBCELoss"),
    ),
)
