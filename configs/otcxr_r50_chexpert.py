# OTCXR: ResNet-50 pre-trained on CheXpert (OTCXR_CHEXPERT, as Stanford ships it), frontal images alone.
#   OTCXR_CHEXPERT=FOLDER python tools/train.py configs/otcxr_r50_chexpert.py
_base_ = ["./otcxr_r50_nih.py"]

train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type="otcxr_mm.CheXpert",
        data_root="{{$OTCXR_CHEXPERT:data/chexpert}}",
        split="train",
        views=("PA", "AP"),
        pipeline=_base_.train_pipeline,
    )
)
