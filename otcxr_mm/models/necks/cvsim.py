"""The Cross-Viewpoint Semantics Infusion Module (CV-SIM) of OTCXR."""

from collections.abc import Sequence

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, interpolate

from ...ops import geometric_prior
from ...registry import MODELS
from ..choices import check_choice
from ..norm import CrossRankBatchNorm1d
from ..tokens import Tokens
from .attention import PositionalAttention, sine_position

Maps = Sequence[Tensor]


def _projector(in_channels: int, hidden: int, out: int, norm: str) -> nn.Sequential:
    return nn.Sequential(
        # a bias before the batch norm would have no effect
        nn.Linear(in_channels, hidden, bias=norm == "ln"),
        CrossRankBatchNorm1d(hidden) if norm == "bn" else nn.LayerNorm(hidden),
        nn.ReLU(inplace=True),
        nn.Linear(hidden, out),
    )


@MODELS.register_module()
class CVSIM(BaseModule):
    """Infuses the semantics of each view into the other: local spatial detail and global context.

    1. Local detail: each stage is mapped linearly to a common width and grid; a depth-wise 3 x 3 convolution follows.
    2. Global context: tokens attend to the tokens of their own view.
    3. Infusion: tokens attend to those of the other view, through a learned gate. Both directions share the weights.
    4. Projection: an MLP projects each token; a second one projects the last stage, averaged over space, to a global
       token.

    The paper says what the module is for, and that it gives q_s and q_t; the four steps are our reading.

    Args:
        in_channels: Channels of each stage that the backbone returns, coarsest last.
        embed_dims: Width of the tokens, a multiple of 4 and of `num_heads`.
        hidden_channels: Width of the projector's hidden layer.
        out_channels: Width D of the projected tokens.
        num_heads: Heads of both attentions.
        max_tokens: The grid is that of the finest stage, shrunk to at most this many tokens.
        infusion: ``'both'``, ``'source'`` (the target is not changed) or ``'none'``.
        detach_context: Whether the other view's tokens are constants in the infusion, so that the loss cannot fall by
            changing what is copied.
        blind: Distance in the frame, in units of the image's sides, within which a token does not attend to the other
            view: it cannot copy what lies in its own place and has to infer it from around. 0: it sees everything. It
            needs `view_to_image`.
        masked: Share of the other view's tokens, drawn at random per image, that nobody attends to in training.
        gate: Initial weight of the infusion, > 0: at 0 the attention would get no gradient.
        global_token: ``'own'`` (step 4), or ``'mean'``: no second MLP; the mean of the tokens is the global token.
        norm: ``'bn'``: batch norm over all processes; ``'ln'``: layer norm.
        out: What the neck returns for a single view: ``'pooled'``: the mean of the dense tokens, (B, D), averaged with
            a global token of its own; ``'tokens'``: the dense tokens, (B, N, D), followed by a global token of its own;
            ``'map'``: the dense tokens as (B, D, h, w), without a global token.
        init_cfg: MMEngine's initialisation.

    Raises:
        ValueError: For an argument outside its range.
    """

    def __init__(
        self,
        in_channels: int | Sequence[int],
        embed_dims: int = 256,
        hidden_channels: int = 1024,
        out_channels: int = 512,
        num_heads: int = 8,
        max_tokens: int = 49,
        infusion: str = "both",
        detach_context: bool = True,
        blind: float = 0.0,
        masked: float = 0.0,
        gate: float = 0.1,
        global_token: str = "own",
        norm: str = "bn",
        out: str = "pooled",
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        check_choice("CVSIM", "infusion", infusion, ("both", "source", "none"))
        check_choice("CVSIM", "global_token", global_token, ("mean", "own"))
        check_choice("CVSIM", "norm", norm, ("bn", "ln"))
        check_choice("CVSIM", "out", out, ("pooled", "tokens", "map"))
        if embed_dims % 4 or embed_dims % num_heads:
            raise ValueError(
                f"CVSIM: embed_dims must be a multiple of 4 and of num_heads={num_heads}, got {embed_dims}"
            )
        if blind < 0 or not 0 <= masked < 1:
            raise ValueError(f"CVSIM: blind must be at least 0 and masked in [0, 1), got {blind} and {masked}")
        if infusion != "none" and not gate > 0:
            raise ValueError(f"CVSIM: gate must be > 0, got {gate}; infusion='none' turns the infusion off")
        self.in_channels = (in_channels,) if isinstance(in_channels, int) else tuple(in_channels)
        self.max_tokens, self.infusion, self.detach_context = max_tokens, infusion, detach_context
        self.blind, self.masked = blind, masked
        self.global_token, self.out = "mean" if out == "map" else global_token, out
        self.lateral = nn.ModuleList(nn.Conv2d(c, embed_dims, 1) for c in self.in_channels)
        # zero padding would tell tokens where they are
        self.detail = nn.Conv2d(embed_dims, embed_dims, 3, padding=1, groups=embed_dims, padding_mode="replicate")
        self.context = PositionalAttention(embed_dims, num_heads)
        if infusion != "none":
            self.cross = PositionalAttention(embed_dims, num_heads)
            self.gate = nn.Parameter(torch.full((embed_dims,), float(gate)))
        self.projector = _projector(embed_dims, hidden_channels, out_channels, norm)
        if self.global_token == "own":
            self.global_projector = _projector(self.in_channels[-1], hidden_channels, out_channels, norm)

    def grid(self, feats: Maps) -> tuple[int, int]:
        """Rows and columns of the tokens for feature maps (B, C_i, h_i, w_i), one per stage."""
        h, w = max((f.shape[-2:] for f in feats), key=lambda size: size[0] * size[1])
        shrink = min(1.0, (self.max_tokens / (h * w)) ** 0.5)
        return max(1, int(h * shrink + 1e-6)), max(1, int(w * shrink + 1e-6))

    def forward(
        self, feats: Maps, other: Maps | None = None, plain: bool = False, view_to_image: Tensor | None = None
    ) -> tuple[Tensor] | tuple[Tokens, Tokens]:
        """Projects one view, or two that infuse each other.

        Args:
            feats: Feature maps of the (source) view, (B, C_i, h_i, w_i), one per stage.
            other: Feature maps of the target view, of the same sizes.
            plain: Whether the tokens also carry those projected without infusion.
            view_to_image: Affine maps from both views to the image, (B, 2, 2, 3), for `blind`.

        Returns:
            With `other`, the tokens q_s and q_t. Without, the view infused with itself, in the form given by `out`, as
            the only item of a tuple: MMPretrain's form of a neck's result.

        Raises:
            ValueError: If the maps do not fit `in_channels`, the two views differ in size, or `blind` lacks the
                geometry.
        """
        feats = self._check(feats)
        if other is None:
            tokens, position = self._embed(feats)
            infused = tokens if self.infusion == "none" else self._infuse(tokens, tokens, position)
            return (self._single(self._project(infused, self._project_global(feats), self.grid(feats))),)
        other = self._check(other)
        sizes, others = ([tuple(feat.shape) for feat in maps] for maps in (feats, other))
        if sizes != others:
            raise ValueError(f"CVSIM: both views need the same grid, got maps {sizes} and {others}")
        grid = self.grid(feats)
        tokens, position = self._embed(feats, other)
        infused = self._infuse_each_other(tokens, position, self._near(view_to_image, grid))
        globals_ = [self._project_global(maps) for maps in (feats, other)]
        # view by view: the batch norm's statistics are those of a view
        q_s, q_t = (self._project(*each, grid) for each in zip(infused, globals_, strict=True))
        if plain:
            alone = (self._project(*each, grid) for each in zip(tokens.chunk(2), globals_, strict=True))
            q_s, q_t = (q._replace(plain=own) for q, own in zip((q_s, q_t), alone, strict=True))
        return q_s, q_t

    def _embed(self, *views: Maps) -> tuple[Tensor, Tensor]:
        """Steps 1 and 2.

        Args:
            *views: Feature maps of V views, of the same sizes.

        Returns:
            Tokens (V B, N, embed_dims), view after view, and their positional code (1, N, embed_dims).
        """
        h, w = self.grid(views[0])
        maps = 0
        for lateral, feats in zip(self.lateral, zip(*views, strict=True), strict=True):
            if feats[0].shape[-2] > h or feats[0].shape[-1] > w:
                feats = [adaptive_avg_pool2d(feat, (h, w)) for feat in feats]
            # with the channels last, the depth-wise convolution is several times faster on a CPU, and tokens are views
            feat = lateral(torch.cat(feats).contiguous(memory_format=torch.channels_last))
            if feat.shape[-2:] != (h, w):
                feat = interpolate(feat, (h, w), mode="bilinear", align_corners=False)
            maps = maps + feat
        tokens = (maps + self.detail(maps)).flatten(2).transpose(1, 2)
        position = sine_position(h, w, tokens.shape[-1], tokens)
        return tokens + self.context(tokens, tokens, position), position

    def _infuse_each_other(self, tokens: Tensor, position: Tensor, near: Tensor | None) -> Sequence[Tensor]:
        """Tokens of source and target after step 3, from those before it, (2 B, N, embed_dims)."""
        source, target = tokens.chunk(2)
        if self.infusion == "both":
            hidden = None if near is None else torch.cat([near, near.mT])
            return self._infuse(tokens, torch.cat([target, source]), position, hidden).chunk(2)
        if self.infusion == "source":
            source = self._infuse(source, target, position, near)
        return source, target

    def _infuse(self, tokens: Tensor, other: Tensor, position: Tensor, hidden: Tensor | None = None) -> Tensor:
        """Step 3; `hidden`, (B, N, N), says which tokens of the other view a token does not see."""
        other = other.detach() if self.detach_context else other
        if self.masked and self.training:
            dropped = torch.rand(other.shape[0], 1, other.shape[1], device=other.device) < self.masked
            hidden = dropped.expand(-1, tokens.shape[1], -1) if hidden is None else hidden | dropped
        return tokens + self.gate * self.cross(tokens, other, position, hidden)

    def _near(self, view_to_image: Tensor | None, grid: tuple[int, int]) -> Tensor | None:
        """Pairs of tokens of the two views that lie within `blind` of each other, (B, N, N)."""
        if not self.blind or self.infusion == "none":
            return None
        if view_to_image is None:
            raise ValueError(
                f"CVSIM: blind={self.blind} needs view_to_image, which the data samples lack: end the pipeline with "
                "otcxr_mm.TwoViewCrop and otcxr_mm.PackViews"
            )
        return geometric_prior(view_to_image[:, 0], view_to_image[:, 1], grid) < self.blind**2

    def _project(self, dense: Tensor, global_: Tensor | None, grid: tuple[int, int]) -> Tokens:
        """Step 4 for dense tokens (B, N, embed_dims)."""
        projected = self.projector(dense.flatten(0, 1)).unflatten(0, dense.shape[:2])
        return Tokens(projected, None if global_ is None else global_[:, None], grid)

    def _project_global(self, feats: Maps) -> Tensor | None:
        """Step 4 for the global token (B, D), if the neck has one of its own."""
        return None if self.global_token == "mean" else self.global_projector(feats[-1].mean((2, 3)))

    def _single(self, tokens: Tokens) -> Tensor:
        if self.out == "map":
            return tokens.dense.transpose(1, 2).unflatten(2, tokens.grid)
        dense = tokens.dense.mean(1, keepdim=True) if self.out == "pooled" else tokens.dense
        parts = dense if tokens.global_ is None else torch.cat([dense, tokens.global_], 1)
        return parts.mean(1) if self.out == "pooled" else parts

    def _check(self, feats: Maps | Tensor) -> Maps:
        feats = (feats,) if isinstance(feats, Tensor) else feats
        if len(feats) != len(self.in_channels):
            raise ValueError(
                f"CVSIM: in_channels={self.in_channels} expects {len(self.in_channels)} stages, the backbone returns "
                f"{len(feats)}: set its out_indices"
            )
        for stage, (feat, channels) in enumerate(zip(feats, self.in_channels, strict=True)):
            if feat.dim() != 4 or feat.shape[1] != channels:
                raise ValueError(
                    f"CVSIM: stage {stage} must be a feature map (B, {channels}, h, w), got {tuple(feat.shape)}: set "
                    "in_channels to the channels of the backbone's stages; out_type='featmap' for a ViT, "
                    "gap_before_final_norm=False for ConvNeXt, features_only=True for TIMMBackbone"
                )
        return feats
