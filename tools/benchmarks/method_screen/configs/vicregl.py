# VICRegL (Bardes, Ponce, LeCun, NeurIPS 2022); dense features of the last stage, 3 x 3.
_base_ = ["./screen.py"]

model = dict(
    type="VICRegL",
    backbone={{_base_.backbone}},
    expander=[256, 512, 512, 512],
    dense_expander=[256, 512, 512, 512],
    feature_matches=1.0,
    data_preprocessor={{_base_.data_preprocessor}},
)
