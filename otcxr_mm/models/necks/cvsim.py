"""Cross-Viewpoint Semantics Infusion Module (Gorade et al., OTCXR, WACV 2025); its inner design is our reading."""

from collections.abc import Sequence

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, interpolate

from ...registry import MODELS
from ..norm import CrossRankBatchNorm1d

Maps = Sequence[Tensor]


def sine_position(h: int, w: int, dims: int, like: Tensor) -> Tensor:
    """Fixed two-dimensional sine-cosine code of an h x w grid, (1, h w, dims), of the dtype and device of `like`."""
    freq = torch.exp(torch.arange(dims // 4, device=like.device) * (-9.2103 / max(dims // 4, 1)))  # down to 1e-4
    ys = torch.arange(h, device=like.device)[:, None] * freq
    xs = torch.arange(w, device=like.device)[:, None] * freq
    rows = torch.cat([ys.sin(), ys.cos()], -1)[:, None].expand(h, w, -1)
    columns = torch.cat([xs.sin(), xs.cos()], -1)[None].expand(h, w, -1)
    return torch.cat([rows, columns], -1).reshape(1, h * w, -1).to(like.dtype)


class _Attention(nn.Module):
    """Pre-norm multi-head attention. The positional code enters queries and keys, never values."""

    def __init__(self, dims: int, heads: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dims)
        self.attention = nn.MultiheadAttention(dims, heads, batch_first=True)

    def forward(self, tokens: Tensor, context: Tensor, position: Tensor) -> Tensor:
        query, values = self.norm(tokens) + position, self.norm(context)
        return self.attention(query, values + position, values, need_weights=False)[0]


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
    """Turns feature maps of two viewpoints into projected tokens that know each other's context.

    1. Linear maps of one or several stages to a common width and grid; local detail by a depth-wise 3 x 3 convolution.
    2. Global context by attention over the viewpoint's own tokens.
    3. Infusion: tokens of one viewpoint query those of the other, through a learned gate. Same weights both ways.
    4. A token-wise projector.
    5. A global token: the mean of the projected tokens, or one of its own.

    Args:
        in_channels: Channels of each stage that the backbone puts out, coarsest last.
        embed_dims: Width of the tokens, a multiple of 4 and of `num_heads`.
        hidden_channels: Width of the projector's hidden layer.
        out_channels: Width D of the projected tokens.
        num_heads: Heads of both attentions.
        max_tokens: The grid is that of the finest stage, pooled until it has at most so many tokens.
        infusion: ``'both'``, ``'source'`` (only the first viewpoint) or ``'none'``.
        detach_context: Whether the other viewpoint's tokens are constants in the infusion, so that the loss cannot
            fall by moving what is copied.
        gate: Initial weight of the infusion, > 0: at exactly 0 the attention would get no gradient.
        global_token: ``'own'``: the last stage averaged over space, through a projector of its own, is appended to the
            tokens; ``'mean'``: none is, and the head takes the tokens' mean. A map has no place for one.
        norm: ``'bn'``: batch norm over all processes; ``'ln'``: layer norm.
        out: What a single viewpoint gives: ``'pooled'`` (B, D), the mean of the tokens, and of that and the global
            token if it has one of its own; ``'tokens'`` (B, N, D), with a global token of its own (B, N + 1, D); or,
            without one, ``'map'`` (B, D, h, w).
        init_cfg: MMEngine's initialisation.

    Raises:
        ValueError: For an unknown choice.
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
        gate: float = 0.1,
        global_token: str = "own",
        norm: str = "bn",
        out: str = "pooled",
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        for name, value, allowed in (
            ("infusion", infusion, ("both", "source", "none")),
            ("global_token", global_token, ("mean", "own")),
            ("norm", norm, ("bn", "ln")),
            ("out", out, ("pooled", "tokens", "map")),
        ):
            if value not in allowed:
                raise ValueError(f"CVSIM: {name} is one of {allowed}, got {value!r}")
        if embed_dims % 4 or embed_dims % num_heads:
            raise ValueError(
                f"CVSIM: embed_dims must be a multiple of 4 and of num_heads={num_heads}, got {embed_dims}"
            )
        if infusion != "none" and not gate > 0:
            raise ValueError(
                f"CVSIM: gate must be > 0, got {gate}: at 0 the infusion never learns; infusion='none' leaves it out"
            )
        self.in_channels = (in_channels,) if isinstance(in_channels, int) else tuple(in_channels)
        self.max_tokens, self.infusion, self.detach_context = max_tokens, infusion, detach_context
        self.global_token, self.out = "mean" if out == "map" else global_token, out
        self.lateral = nn.ModuleList(nn.Conv2d(c, embed_dims, 1) for c in self.in_channels)
        # zero padding would tell the tokens where they are
        self.detail = nn.Conv2d(embed_dims, embed_dims, 3, padding=1, groups=embed_dims, padding_mode="replicate")
        self.context = _Attention(embed_dims, num_heads)
        if infusion != "none":
            self.cross = _Attention(embed_dims, num_heads)
            self.gate = nn.Parameter(torch.full((embed_dims,), float(gate)))
        self.projector = _projector(embed_dims, hidden_channels, out_channels, norm)
        if self.global_token == "own":
            self.global_projector = _projector(self.in_channels[-1], hidden_channels, out_channels, norm)

    def grid(self, feats: Maps) -> tuple[int, int]:
        """Rows and columns of the tokens for feature maps (B, C_i, h_i, w_i).

        Args:
            feats: One map a stage.
        """
        h, w = max((f.shape[-2:] for f in feats), key=lambda size: size[0] * size[1])
        shrink = min(1.0, (self.max_tokens / (h * w)) ** 0.5)
        return max(1, int(h * shrink + 1e-6)), max(1, int(w * shrink + 1e-6))

    def embed(self, feats: Maps) -> tuple[Tensor, Tensor]:
        """Tokens with local detail and global context, before infusion.

        Args:
            feats: Feature maps (B, C_i, h_i, w_i) of the stages.

        Returns:
            Tokens (B, N, embed_dims) and their positional code (1, N, embed_dims).

        Raises:
            ValueError: If the maps are not those that `in_channels` promised.
        """
        self._check(feats)
        h, w = self.grid(feats)
        maps = 0
        for lateral, feat in zip(self.lateral, feats, strict=True):
            if feat.shape[-2] > h or feat.shape[-1] > w:
                feat = adaptive_avg_pool2d(feat, (h, w))
            feat = lateral(feat)
            if feat.shape[-2:] != (h, w):
                feat = interpolate(feat, (h, w), mode="bilinear", align_corners=False)
            maps = maps + feat
        tokens = (maps + self.detail(maps)).flatten(2).transpose(1, 2)
        position = sine_position(h, w, tokens.shape[-1], tokens)
        return tokens + self.context(tokens, tokens, position), position

    def infuse(self, tokens: Tensor, other: Tensor, position: Tensor) -> Tensor:
        """Tokens that have queried those of the other viewpoint, through the gate.

        Args:
            tokens: (B, N, embed_dims).
            other: Of the other viewpoint, (B, N, embed_dims); a constant to the gradient with `detach_context`.
            position: Code of the grid, (1, N, embed_dims).

        Returns:
            (B, N, embed_dims).
        """
        other = other.detach() if self.detach_context else other
        return tokens + self.gate * self.cross(tokens, other, position)

    def project(self, tokens: Tensor) -> Tensor:
        """The projector on each token: `tokens` (B, N, embed_dims) to (B, N, D)."""
        return self.projector(tokens.flatten(0, 1)).unflatten(0, tokens.shape[:2])

    def forward(self, feats: Maps, other: Maps | None = None, plain: bool = False) -> tuple:
        """Projects one viewpoint, or two that infuse each other.

        Args:
            feats: Feature maps of the (source) viewpoint, one a stage.
            other: Feature maps of the target viewpoint, of the same sizes.
            plain: Return the tokens projected without infusion too.

        Returns:
            With `other`: (q_s, q_t), each (B, N, D), or (B, N + 1, D) with a global token of its own, which is the last
            one; with `plain` (q_s, q_t, p_s, p_t). Without it: a tuple whose only entry is what `out` says, the tokens
            infused with themselves, so that CVSIM serves as a plain neck.

        Raises:
            ValueError: If the maps are not those that `in_channels` promised.
        """
        feats = (feats,) if isinstance(feats, Tensor) else feats
        tokens, position = self.embed(feats)
        if other is None:
            if self.infusion != "none":
                tokens = self.infuse(tokens, tokens, position)
            return (self._single(self.project(tokens), feats),)
        other = (other,) if isinstance(other, Tensor) else other
        target, _ = self.embed(other)
        if target.shape != tokens.shape:
            raise ValueError(
                f"CVSIM: both viewpoints need the same grid, got tokens {tuple(tokens.shape)} and {tuple(target.shape)}"
            )
        infused_s = tokens if self.infusion == "none" else self.infuse(tokens, target, position)
        infused_t = self.infuse(target, tokens, position) if self.infusion == "both" else target
        own = (self._global(feats), self._global(other))
        results = [(infused_s, own[0]), (infused_t, own[1])]
        if plain:
            results += [(tokens, own[0]), (target, own[1])]
        return tuple(torch.cat([self.project(dense), *last], 1) for dense, last in results)

    def _global(self, feats: Maps) -> tuple[Tensor, ...]:
        """The global token (B, 1, D), if it is one of its own."""
        if self.global_token == "mean":
            return ()
        return (self.global_projector(feats[-1].mean((2, 3)))[:, None],)

    def _single(self, projected: Tensor, feats: Maps) -> Tensor:
        if self.out == "map":
            return projected.transpose(1, 2).unflatten(2, self.grid(feats))
        own = self._global(feats)
        if self.out == "pooled":
            return torch.cat([projected.mean(1, keepdim=True), *own], 1).mean(1)
        return torch.cat([projected, *own], 1)

    def _check(self, feats: Maps) -> None:
        if len(feats) != len(self.in_channels):
            raise ValueError(
                f"CVSIM: in_channels={self.in_channels} promises {len(self.in_channels)} stages, the backbone puts out "
                f"{len(feats)}: set the backbone's out_indices to as many"
            )
        for stage, (feat, channels) in enumerate(zip(feats, self.in_channels, strict=True)):
            if not isinstance(feat, Tensor) or feat.dim() != 4:
                found = tuple(feat.shape) if isinstance(feat, Tensor) else type(feat).__name__
                raise ValueError(
                    f"CVSIM: stage {stage} is no feature map (B, C, h, w) but {found}: set out_type='featmap' for a "
                    "ViT, gap_before_final_norm=False for ConvNeXt, features_only=True for TIMMBackbone"
                )
            if feat.shape[1] != channels:
                raise ValueError(
                    f"CVSIM: stage {stage} has {feat.shape[1]} channels, in_channels={self.in_channels} says {channels}"
                )
