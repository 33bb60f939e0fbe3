# OTCXR: ResNet-50 pre-trained on MIMIC-CXR (OTCXR_MIMIC, as PhysioNet ships it), frontal images alone.
#   OTCXR_MIMIC=FOLDER python tools/train.py configs/otcxr_r50_mimic.py
_base_ = ["./otcxr_r50_nih.py"]

train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type="otcxr_mm.MIMICCXR",
        data_root="{{$OTCXR_MIMIC:data/mimic}}",
        split="train",
        views=("PA", "AP"),
        pipeline=_base_.train_pipeline,
    )
)
