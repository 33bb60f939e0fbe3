# MMPretrain's components have bare names, ours are otcxr_mm.X.
default_scope = "mmpretrain"
# the names resolve without it; it is an early, clear error if the package is not installed
custom_imports = dict(imports=["otcxr_mm.utils.patches"], allow_failed_imports=False)

default_hooks = dict(
    # ends the run if training shares a patient with validation or test, or pre-training with test (pretrain_config)
    leak_audit=dict(type="otcxr_mm.LeakAuditHook"),
    # ends a test whose classes or normalisation differ from the training's
    consistency=dict(type="otcxr_mm.ConsistencyHook"),
    # writes manifest.json: config, data, versions and state of the code; a resumed run logs what has changed
    manifest=dict(type="otcxr_mm.RunManifestHook"),
    # makes draws depend on (seed, epoch, iteration) only, so that a resumed run equals an uninterrupted one
    reproducibility=dict(type="otcxr_mm.ReproducibilityHook"),
    sampler_seed=dict(type="DistSamplerSeedHook"),
    timer=dict(type="IterTimerHook"),
    logger=dict(type="LoggerHook", interval=50),
    param_scheduler=dict(type="ParamSchedulerHook"),
    # writes whole files only, and one more on SIGTERM
    checkpoint=dict(type="otcxr_mm.AtomicCheckpointHook", interval=1, max_keep_ckpts=3),
    # stops at the first loss that is not finite
    finite_loss=dict(type="otcxr_mm.FiniteLossHook", interval=50),
)

env_cfg = dict(
    cudnn_benchmark=True,
    mp_cfg=dict(mp_start_method="fork", opencv_num_threads=0),
    # seconds that a process waits for one that has stopped; the main process may work alone for so long
    dist_cfg=dict(backend="nccl", timeout=1800),
)
randomness = dict(seed=0)
# trackers (TensorboardVisBackend, WandbVisBackend, MLflowVisBackend) get no path and no image: docs/tracking.md
visualizer = dict(type="otcxr_mm.TrackedVisualizer", vis_backends=[dict(type="LocalVisBackend")])
log_processor = dict(by_epoch=True, window_size=50)
log_level = "INFO"
load_from = None
resume = False
