# VICReg (Bardes, Ponce, LeCun, ICLR 2022) on pooled features; the expander's width is scaled with the backbone.
_base_ = ["./screen.py"]

model = dict(
    type="VICReg",
    backbone={{_base_.backbone}},
    expander=[256, 512, 512, 512],
    data_preprocessor={{_base_.data_preprocessor}},
)
