# OTCXR on the built-in procedural radiographs, on two CPU cores in a minute or two. Network, learning rate and
# objective are those of otcxr_r18_cpu.py, for real radiographs; epochs are fewer.
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

max_epochs = 6
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = _base_.param_scheduler
param_scheduler[-1].update(end=max_epochs)
default_hooks = dict(monitor=dict(pictures=3))  # after the first epoch, and every 3
