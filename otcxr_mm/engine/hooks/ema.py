"""Updates the target network of OTCXR."""

from mmengine.hooks import Hook
from mmengine.runner import Runner

from ...registry import HOOKS
from ..model import refuse_sharded, unwrap_model


@HOOKS.register_module()
class EMATargetHook(Hook):
    """Copies the online network to the target before a run, and updates the moving average after each optimiser step.

    This is not done in the model's loss(), where gradient accumulation would update the target at every micro-step.
    """

    # runs before the checkpoint is written
    priority = "NORMAL"

    def before_train(self, runner: Runner) -> None:
        """Initialises the target with the online network, unless the run is resumed."""
        refuse_sharded(runner, "EMATargetHook")
        model = unwrap_model(runner)
        if getattr(model, "target", None) is None:
            raise ValueError(
                "EMATargetHook: the model has no target network: set ema=0.004 in model, or remove the hook"
            )
        if runner.iter == 0:
            model.sync_target()
        model.target_synced = True
        self.model = model

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: object = None, outputs: dict | None = None
    ) -> None:
        """Updates the target if the optimiser stepped in this iteration."""
        if runner.optim_wrapper.should_update():
            self.model.target.update_parameters(self.model.online)
