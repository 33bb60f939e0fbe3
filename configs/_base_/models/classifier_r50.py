# A multi-label classifier on a ResNet-50 with one input channel; unknown labels (NaN) are ignored.
model = dict(
    type="ImageClassifier",
    # as recorded in backbone.json beside the backbone
    data_preprocessor=dict(type="otcxr_mm.CXRDataPreprocessor", mean=[127.5], std=[64.0], channels=1),
    backbone=dict(type="ResNet", depth=50, in_channels=1, norm_cfg=dict(type="BN")),
    neck=dict(type="GlobalAveragePooling"),
    head=dict(
        type="MultiLabelLinearClsHead",
        num_classes=14,
        in_channels=2048,
        # pos_weight="train": positives weigh as much as negatives; another loss: type="otcxr_mm.MaskedAsymmetricLoss"
        loss=dict(type="otcxr_mm.MaskedBCELoss", pos_weight=None),
    ),
)
