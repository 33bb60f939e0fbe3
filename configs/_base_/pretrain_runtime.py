# default_runtime.py and what pre-training adds.
_base_ = ["./default_runtime.py"]

default_hooks = dict(
    # effective rank, spread and mean cosine of the backbone's features after each epoch
    collapse=dict(type="otcxr_mm.CollapseMonitorHook"),
    # WORK_DIR/backbone.pth and backbone.json at the end
    export=dict(type="otcxr_mm.ExportBackboneHook"),
)
