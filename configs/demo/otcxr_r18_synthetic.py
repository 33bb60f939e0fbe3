# OTCXR on the built-in procedural radiographs, on two CPU cores in two to three minutes. Network, schedule and
# objective are those of otcxr_r18_cpu.py, for real radiographs.
#   python tools/train.py configs/demo/otcxr_r18_synthetic.py
_base_ = ["../otcxr_r18_cpu.py"]

train_dataloader = dict(
    batch_size=64,
    num_workers=0,
    persistent_workers=False,
    drop_last=True,
    dataset=dict(
        _delete_=True,
        type="otcxr_mm.SyntheticCXR",
        data_root="{{$OTCXR_SYNTHETIC:data/synthetic}}",
        seed=0,
        split="train",
        pipeline=_base_.train_pipeline,
    ),
)
