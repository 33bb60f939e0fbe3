# Weights, gradients and optimiser state are split among the GPUs (FSDP): for models that do not fit on one. A base to
# add to any pre-training config, see docs/launch.md.
runner_type = "FlexibleRunner"
strategy = dict(
    type="otcxr_mm.FSDPStrategy",
    # modules with at least so many parameters are gathered one at a time
    model_wrapper=dict(
        auto_wrap_policy=dict(
            type="torch.distributed.fsdp.wrap.size_based_auto_wrap_policy",
            min_num_params=5_000_000,
        )
    ),
)
