# DenseCL with the dense features that OTCXR has: the last two stages, 6 x 6.
_base_ = ["./densecl.py"]

model = dict(backbone=dict(out_indices=(2, 3)), neck=dict(type="TwoStageDenseCLNeck", in_channels=(128, 256)))
