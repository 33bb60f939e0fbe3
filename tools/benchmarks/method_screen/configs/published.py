# Merged over a run: the training patients of three sets, without those of NIH's official test list, so that whoever
# starts from the weights can be measured on that list.
_base_ = ["./screen.py"]

_folder = "{{$OTCXR_DATA:../shared/data}}"
_screen = "{{$OTCXR_SCREEN:work_dirs/methods}}"
_unlabeled = dict(type="otcxr_mm.UnlabeledCXR", img_prefix="images", split="train", pipeline=_base_.pipeline)
_kermany = dict(data_root=f"{_folder}/kermany", packed=f"{_screen}/packed/kermany_160", ann_file="labels.csv")
_nih = dict(ann_file="Data_Entry_2017_v2020.csv", **_unlabeled)
train_dataloader = dict(
    dataset=dict(
        datasets=[
            dict(**_kermany, **_unlabeled),
            dict(
                data_root=f"{_folder}/nih",
                packed=f"{_screen}/packed/nih_160",
                split_file=f"{_screen}/published/nih.csv",
                **_nih,
            ),
            dict(
                data_root=f"{_folder}/nih_followup",
                packed=f"{_screen}/packed/nih_followup_160",
                split_file=f"{_screen}/published/nih_followup.csv",
                **_nih,
            ),
        ],
    ),
)
