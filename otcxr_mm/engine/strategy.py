"""MMEngine's FSDP with what a run needs besides: gradient clipping, weight decay, resumption and whole files."""

import inspect
import os
from functools import partial

import torch
from mmengine._strategy import FSDPStrategy as _FSDPStrategy
from mmengine.dist import barrier, is_main_process
from mmengine.optim import BaseOptimWrapper
from torch import Tensor, nn
from torch.distributed.fsdp import FullyShardedDataParallel as FSDP

from ..registry import STRATEGIES


@STRATEGIES.register_module()
class FSDPStrategy(_FSDPStrategy):
    """MMEngine's FSDPStrategy: each process keeps a share of weights, gradients and optimiser state.

    MMEngine's own (0.10.7 and the OneDL line's 0.10.12) clips gradients by the norm of a process's share, takes every
    share for a flat parameter without weight decay, cannot resume with torch >= 2.1, writes checkpoints in place, and
    needs a GPU. Here a run equals one with DDP and resumes, also on CPUs over gloo, and a checkpoint is one whole file
    with all weights under their plain names, which runs without FSDP can start from.

    Args:
        model_wrapper: As in MMEngine: config of MMFullyShardedDataParallel.
        **kwargs: See MMEngine's FSDPStrategy.
    """

    def __init__(self, *, model_wrapper: dict | None = None, **kwargs: object) -> None:
        model_wrapper = {"type": "MMFullyShardedDataParallel", **(model_wrapper or {})}
        if not torch.cuda.is_available():
            model_wrapper["device_id"] = "cpu"
        super().__init__(state_dict_cfg="full", model_wrapper=model_wrapper, **kwargs)
        # torch copies what it gathers to the CPU; what is there already, it would overwrite with the next tensor
        for config in (self.state_dict_config, self.optim_state_dict_config):
            config.offload_to_cpu = torch.cuda.is_available()

    def build_optim_wrapper(
        self, optim_wrapper: dict | BaseOptimWrapper, model: nn.Module | None = None
    ) -> BaseOptimWrapper:
        """Builds it while all parameters have their own shapes, which decide the weight decay."""
        with FSDP.summon_full_params(model, writeback=False):
            built = super().build_optim_wrapper(optim_wrapper, model)
        if getattr(built, "clip_func", None) is torch.nn.utils.clip_grad_norm_:
            built.clip_func = partial(_clip_grad_norm, model)
        return built

    def optim_state_dict(self) -> dict:
        """The state of the optimiser under the parameters' names, and that of its wrapper; complete in process 0."""
        wrapper = self.optim_wrapper
        of_wrapper = {key: value for key, value in wrapper.state_dict().items() if key not in ("state", "param_groups")}
        return {**FSDP.optim_state_dict(self.model, wrapper.optimizer), **of_wrapper}

    def load_optim_state_dict(self, state_dict: dict) -> None:
        """Loads what :meth:`optim_state_dict` has returned."""
        optimizer = self.optim_wrapper.optimizer
        of_wrapper = {key: state_dict.pop(key) for key in set(state_dict) - {"state", "param_groups"}}
        share = FSDP.optim_state_dict_to_load(model=self.model, optim=optimizer, optim_state_dict=state_dict)
        self.optim_wrapper.load_state_dict({**share, **of_wrapper})

    def save_checkpoint(self, filename: str, **kwargs: object) -> None:
        """Writes the checkpoint under another name, and renames it; all processes leave together."""
        temporary = f"{filename}.tmp.fsdp"
        super().save_checkpoint(temporary, **kwargs)
        if is_main_process():
            with open(temporary, "rb") as stream:
                os.fsync(stream.fileno())
            os.replace(temporary, filename)
        barrier()


def _clip_grad_norm(model: FSDP, params: list[nn.Parameter], max_norm: float, **kwargs: object) -> Tensor:
    """Clips by the norm of all processes' gradients; takes and returns what torch's function does."""
    known = inspect.signature(FSDP.clip_grad_norm_).parameters
    return model.clip_grad_norm_(max_norm, **{key: value for key, value in kwargs.items() if key in known})
