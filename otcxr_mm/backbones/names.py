"""The same weights under the names of other libraries, brought to those of the network at hand."""

import math
import re
import sys
from contextlib import suppress

import torch
from torch import Tensor, nn

State = dict[str, Tensor]

# pattern and replacement, the first that matches; a name that matches none is kept
_VIT = (  # timm's and DINOv2's names to those of MMPretrain's VisionTransformer
    (r"patch_embed\.proj\.(.*)", r"patch_embed.projection.\1"),
    (r"blocks\.(\d+)\.norm([12])\.(.*)", r"layers.\1.ln\2.\3"),
    (r"blocks\.(\d+)\.attn\.(.*)", r"layers.\1.attn.\2"),
    (r"blocks\.(\d+)\.mlp\.fc1\.(.*)", r"layers.\1.ffn.layers.0.0.\2"),
    (r"blocks\.(\d+)\.mlp\.fc2\.(.*)", r"layers.\1.ffn.layers.1.\2"),
    (r"blocks\.(\d+)\.ls1\.gamma", r"layers.\1.attn.gamma1.weight"),
    (r"blocks\.(\d+)\.ls2\.gamma", r"layers.\1.ffn.gamma2.weight"),
    (r"norm\.(.*)", r"ln1.\1"),
)
_HUGGINGFACE = (  # transformers' Dinov2Model, as RAD-DINO is published, to DINOv2's
    (r"(?:dinov2\.)?embeddings\.patch_embeddings\.projection\.(.*)", r"patch_embed.proj.\1"),
    (r"(?:dinov2\.)?embeddings\.position_embeddings", "pos_embed"),
    (r"(?:dinov2\.)?embeddings\.(cls_token|mask_token|register_tokens)", r"\1"),
    (r"(?:dinov2\.)?encoder\.layer\.(\d+)\.attention\.output\.dense\.(.*)", r"blocks.\1.attn.proj.\2"),
    (r"(?:dinov2\.)?encoder\.layer\.(\d+)\.attention\.attention\.(.*)", r"blocks.\1.attn.\2"),
    (r"(?:dinov2\.)?encoder\.layer\.(\d+)\.layer_scale([12])\.lambda1", r"blocks.\1.ls\2.gamma"),
    (r"(?:dinov2\.)?encoder\.layer\.(\d+)\.(.*)", r"blocks.\1.\2"),
    (r"(?:dinov2\.)?layernorm\.(.*)", r"norm.\1"),
)
_DENSENET = (  # torchvision's and torchxrayvision's names to those of MMPretrain's DenseNet, which counts from 0
    (r"features\.conv0\.(.*)", r"stem.0.\1"),
    (r"features\.norm0\.(.*)", r"stem.1.\1"),
    (
        r"features\.denseblock(\d+)\.denselayer(\d+)\.(.*)",
        lambda m: f"stages.{int(m[1]) - 1}.block.{int(m[2]) - 1}.{m[3]}",
    ),
    (r"features\.transition(\d+)\.(.*)", lambda m: f"transitions.{int(m[1]) - 1}.{m[2]}"),
    (r"features\.norm5\.(.*)", r"transitions.3.0.\1"),
)


def under_names_of(backbone: nn.Module, state: State) -> State:
    """The weights under the names of a network, if they are there under those of a library that is known.

    Known are the names of MMPretrain, torchvision, timm, torchxrayvision's DenseNet, DINOv2 and transformers' Dinov2.
    Into a `TIMMBackbone`, all goes that timm itself can convert. Position codes of another grid are resized.

    Args:
        backbone: To be filled.
        state: Weights, without a prefix.

    Returns:
        The weights under those names of which the network has most; as they were if it has none.
    """
    wanted = backbone.state_dict()
    plain = _join_attention(_renamed(state, _HUGGINGFACE))
    candidates = [state, plain, _renamed(plain, _VIT), _renamed(state, _DENSENET)]
    if hasattr(backbone, "timm_model"):
        candidates.append(_for_timm(backbone.timm_model, plain))
    best = max(candidates, key=lambda named: len(wanted.keys() & named.keys()))
    return {name: _with_grid_of(value, wanted.get(name)) for name, value in best.items()}


def _renamed(state: State, rules: tuple) -> State:
    def new(name: str) -> str:
        for pattern, replacement in rules:
            if found := re.fullmatch(pattern, name):
                return replacement(found) if callable(replacement) else found.expand(replacement)
        return name

    return {new(name): value for name, value in state.items()}


def _join_attention(state: State) -> State:
    """Query, key and value in one matrix, where they are three."""
    joined = dict(state)
    for name in state:
        if ".attn.query." in name:
            parts = [joined.pop(name.replace("query", part), None) for part in ("query", "key", "value")]
            if all(isinstance(part, Tensor) for part in parts):
                joined[name.replace("query", "qkv")] = torch.cat(parts)
    return joined


def _for_timm(model: nn.Module, state: State) -> State:
    """The weights under the names of a timm model in a `TIMMBackbone`, by timm's own conversion where it has one."""
    wrapped = hasattr(model, "model")  # features_only of a transformer
    inner = model.model if wrapped else model
    convert = getattr(sys.modules[type(inner).__module__], "checkpoint_filter_fn", None)
    if convert is not None:
        with suppress(KeyError, ValueError, RuntimeError, AttributeError, IndexError):  # of another architecture
            state = convert(dict(state), inner)
    # features_only of a convolutional network flattens stages.0.x to stages_0.x
    names = {name.replace("_", "."): name for name in inner.state_dict()}
    prefix = "timm_model.model." if wrapped else "timm_model."
    return {prefix + names.get(name.replace("_", "."), name): value for name, value in state.items()}


def _with_grid_of(value: Tensor, wanted: Tensor | None) -> Tensor:
    """Position codes (1, N, D) with the square grid of others, with or without a code of the class token."""
    if wanted is None or value.dim() != 3 or value.shape == wanted.shape or value.shape[2] != wanted.shape[2]:
        return value
    (given, extra), (grid, kept) = _grid(value), _grid(wanted)
    if not given or not grid or kept > extra:
        return value
    from mmpretrain.models.utils import resize_pos_embed  # slow

    return resize_pos_embed(value, (given, given), (grid, grid), "bicubic", extra)[:, extra - kept :]


def _grid(codes: Tensor) -> tuple[int, int]:
    """Side of a square grid of position codes, and codes before it; (0, 0) if there is none."""
    for extra in (1, 0):
        side = math.isqrt(max(codes.shape[1] - extra, 0))
        if side > 1 and side * side + extra == codes.shape[1]:
            return side, extra
    return 0, 0
