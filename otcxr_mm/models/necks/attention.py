"""Attention between the tokens of one or two views."""

import torch
from torch import Tensor, nn


def sine_position(h: int, w: int, dims: int, like: Tensor) -> Tensor:
    """Fixed two-dimensional sine-cosine code of an h x w grid, (1, h w, dims), with the dtype and device of `like`."""
    freq = torch.exp(torch.arange(dims // 4, device=like.device) * (-9.2103 / max(dims // 4, 1)))  # down to 1e-4
    ys = torch.arange(h, device=like.device)[:, None] * freq
    xs = torch.arange(w, device=like.device)[:, None] * freq
    rows = torch.cat([ys.sin(), ys.cos()], -1)[:, None].expand(h, w, -1)
    columns = torch.cat([xs.sin(), xs.cos()], -1)[None].expand(h, w, -1)
    return torch.cat([rows, columns], -1).reshape(1, h * w, -1).to(like.dtype)


class PositionalAttention(nn.Module):
    """Pre-norm multi-head attention with the positional code in queries and keys only.

    In the values it would hand the network a table f(position), which minimises the loss without any image.
    """

    def __init__(self, dims: int, heads: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dims)
        self.attention = nn.MultiheadAttention(dims, heads, batch_first=True)

    def forward(self, tokens: Tensor, context: Tensor, position: Tensor, hidden: Tensor | None = None) -> Tensor:
        """What tokens (B, N, dims) find in the context.

        Args:
            tokens: (B, N, dims).
            context: (B, N, dims).
            position: (1, N, dims).
            hidden: Which part of the context a token does not see, (B, N, N); a token that sees none finds nothing.

        Returns:
            (B, N, dims).
        """
        query, values = self.norm(tokens) + position, self.norm(context)
        if hidden is None:
            return self.attention(query, values + position, values, need_weights=False)[0]
        sightless = hidden.all(2, keepdim=True)
        # a row of the softmax needs at least one entry
        mask = (hidden & ~sightless).repeat_interleave(self.attention.num_heads, 0)
        found = self.attention(query, values + position, values, need_weights=False, attn_mask=mask)[0]
        return found.masked_fill(sightless, 0)
