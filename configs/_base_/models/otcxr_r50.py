# OTCXR on a ResNet-50. docs/method.md says which values are the paper's and which our reading, docs/results.md how they
# were chosen.
model = dict(
    type="otcxr_mm.OTCXR",
    data_preprocessor=dict(
        type="otcxr_mm.CXRDataPreprocessor",
        # on the scale 0 to 255: its middle, and about the spread of radiographs
        mean=[127.5],
        std=[64.0],
        channels=1,  # for a backbone of 3 channels the grey image is repeated on the device
    ),
    backbone=dict(
        type="ResNet",
        depth=50,
        in_channels=1,
        out_indices=(2, 3),  # strides 16 and 32
        norm_cfg=dict(type="BN"),
        zero_init_residual=True,
    ),
    neck=dict(
        type="otcxr_mm.CVSIM",
        in_channels=(1024, 2048),  # of the stages above
        embed_dims=256,
        hidden_channels=1024,
        out_channels=512,
        max_tokens=49,  # 7 x 7 for images of 224 pixels
        infusion="none",  # "both" is the paper's; it costs time and was not shown to help
        global_token="own",  # the last stage averaged over space is one more atom
    ),
    head=dict(
        type="otcxr_mm.OTHead",
        # the three loss_weight are alpha, beta and eta of the objective
        loss_ot=dict(
            type="otcxr_mm.TransportLoss",
            metric="sqeuclidean",
            eps=0.1,  # in units of the mean cost
            n_iters=25,
            prior_weight=1.0,
            loss_weight=25.0,
        ),
        loss_var=dict(type="otcxr_mm.VarianceLoss", loss_weight=12.5),
        loss_cov=dict(type="otcxr_mm.CovarianceLoss", loss_weight=1.0),
        global_mass=0.25,
        # the crops' geometry: tokens that the other view does not show get little mass, and pairs a quarter of the
        # image apart cost as much again as the mean pair
        marginals="visibility",
        prior_scale=0.25,
        statistics="both",
    ),
)
