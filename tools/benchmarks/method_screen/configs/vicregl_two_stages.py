# VICRegL with the dense features that OTCXR has: the last two stages, 6 x 6.
_base_ = ["./vicregl.py"]

model = dict(backbone=dict(out_indices=(2, 3)), dense_expander=[384, 512, 512, 512])
