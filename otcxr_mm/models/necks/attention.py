"""Attention between the tokens of one or two views."""

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, scaled_dot_product_attention


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
            context: (B, N, dims); `tokens` itself for attention within a view.
            position: (1, N, dims).
            hidden: Which part of the context a token does not see, (B, N, N); a token that sees none finds nothing.

        Returns:
            (B, N, dims).
        """
        query, key, value = map(self._heads, self._project(tokens, context, position))
        if hidden is None:
            return self._join(scaled_dot_product_attention(query, key, value))
        sightless = hidden.all(2, keepdim=True)
        # a row of the softmax needs at least one entry
        seen = (sightless | ~hidden)[:, None]
        return self._join(scaled_dot_product_attention(query, key, value, seen)).masked_fill(sightless, 0)

    def _project(self, tokens: Tensor, context: Tensor, position: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, (B, N, dims) each, in as few products as possible."""
        weight, bias, dims = self.attention.in_proj_weight, self.attention.in_proj_bias, tokens.shape[2]
        normed = self.norm(tokens)
        if context is tokens:
            query, key = linear(normed + position, weight[: 2 * dims], bias[: 2 * dims]).chunk(2, 2)
            return query, key, linear(normed, weight[2 * dims :], bias[2 * dims :])
        (to_query, to_key, to_value), biases = weight.chunk(3), bias.chunk(3)
        values = self.norm(context)
        return (
            linear(normed + position, to_query, biases[0]),
            linear(values + position, to_key, biases[1]),
            linear(values, to_value, biases[2]),
        )

    def _heads(self, x: Tensor) -> Tensor:
        """(B, N, dims) as (B, heads, N, dims / heads)."""
        return x.unflatten(2, (self.attention.num_heads, -1)).transpose(1, 2)

    def _join(self, found: Tensor) -> Tensor:
        return self.attention.out_proj(found.transpose(1, 2).flatten(2))
