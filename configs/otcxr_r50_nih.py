# OTCXR: ResNet-50 pre-trained on the official train_val list of NIH ChestX-ray14.
#   OTCXR_NIH=FOLDER python tools/train.py configs/otcxr_r50_nih.py
# FOLDER is as NIH ships it: images/ or images_001/images/ ..., Data_Entry_2017*.csv, train_val_list.txt, test_list.txt.
# A batch of 64 needs one GPU of 24 GB, or 12 GB with --amp. For several GPUs:
#   bash tools/dist_train.sh configs/otcxr_r50_nih.py 4 --auto-scale-lr
_base_ = [
    "./_base_/models/otcxr_r50.py",
    "./_base_/datasets/two_view_224.py",
    "./_base_/schedules/adamw_100e.py",
    "./_base_/default_runtime.py",
]

train_dataloader = dict(
    dataset=dict(
        type="otcxr_mm.NIHChestXray14",
        data_root="{{$OTCXR_NIH:data/nih}}",
        # the patients of test_list.txt are never seen. The labelled configs take their validation patients from
        # train_val; to keep those unseen too: split="train" with within and split_by_hash of _base_/datasets/nih_224.py
        split="train_val",
        pipeline=_base_.train_pipeline,
    )
)
default_hooks = dict(
    # logs after each epoch what tells healthy features, weights and plans from sick ones, without a forward pass of
    # its own; draws a few plans and features every 5 epochs, on images of nobody (docs/monitoring.md)
    monitor=dict(type="otcxr_mm.TransportMonitor"),
    # writes backbone.pth and backbone.json at the end
    export=dict(type="otcxr_mm.ExportBackboneHook"),
)
