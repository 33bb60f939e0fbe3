# OTCXR: ResNet-50 pre-trained on PadChest (OTCXR_PADCHEST, as BIMCV ships it), frontal images alone.
#   OTCXR_PADCHEST=FOLDER python tools/train.py configs/otcxr_r50_padchest.py
_base_ = ["./otcxr_r50_nih.py"]
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type="otcxr_mm.PadChest",
        data_root="{{$OTCXR_PADCHEST:data/padchest}}",
        split="train",
        split_by_hash=(("train", 0.7), ("val", 0.1), ("test", 0.2)),  # as in linear_r50_padchest.py
        views=("PA", "AP", "AP_horizontal"),
        pipeline=_base_.train_pipeline,
    )
)
