"""Components of the screen that neither MMPretrain nor this package has: fast backbones, VICReg, VICRegL."""

import numpy as np
import torch
from mmcv.cnn import build_norm_layer
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmpretrain.models import BaseSelfSupervisor, DenseCLNeck, MobileNetV2, ResNet
from mmpretrain.registry import MODELS
from torch import Tensor, nn
from torch.nn.functional import conv2d, interpolate, mse_loss, pad

from otcxr_mm.ops import covariance, covariance_matrix, token_centres, variance


class Fast:
    """A backbone whose convolutions run in bfloat16 and channels last during training; all after it is float32.

    It is the same for every method, so the comparison does not depend on a method's own precision.
    """

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Feature maps in float32."""
        x = x.contiguous(memory_format=torch.channels_last)
        with torch.autocast(x.device.type, dtype=torch.bfloat16, enabled=self.training):
            feats = super().forward(x)
        return tuple(feat.float() for feat in feats)


@MODELS.register_module()
class ScreenResNet(Fast, ResNet):
    """MMPretrain's ResNet."""


@MODELS.register_module()
class ScreenMobileNetV2(Fast, MobileNetV2):
    """MMPretrain's MobileNetV2."""


@MMENGINE_MODELS.register_module()
class SameConv2d(nn.Conv2d):
    """Convolution with TensorFlow's padding "same", which TensorFlow's weights expect.

    mmcv's Conv2dAdaptivePadding gives the same result, but copies every input.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Convolves x, (B, C, H, W)."""
        total = [
            max((-(-side // s) - 1) * s + (k - 1) * d + 1 - side, 0)
            for side, k, s, d in zip(x.shape[-2:], self.kernel_size, self.stride, self.dilation, strict=True)
        ]
        padding = [t // 2 for t in total]
        if any(t % 2 for t in total):
            x = pad(x, [padding[1], total[1] - padding[1], padding[0], total[0] - padding[0]])
            padding = 0
        # the backward pass of a depth-wise convolution with a stride takes four times as long in bfloat16
        strided = self.groups > 1 and max(self.stride) > 1
        with torch.autocast(x.device.type, enabled=torch.is_autocast_enabled(x.device.type) and not strided):
            x = x.float() if strided else x
            return conv2d(x, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)


def mlp(sizes: list[int]) -> nn.Sequential:
    """Layers of linear, batch norm and ReLU; the last one is linear only."""
    layers: list[nn.Module] = []
    for i, (n_in, n_out) in enumerate(zip(sizes[:-2], sizes[1:-1], strict=True)):
        layers += [nn.Linear(n_in, n_out, bias=False), build_norm_layer({"type": "BN1d"}, n_out, i)[1], nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(*sizes[-2:]))


def vicreg(x: Tensor, y: Tensor) -> dict[str, Tensor]:
    """Weights 25 : 25 : 1 with the variance sum halved, as in VICReg's code (Bardes, Ponce, LeCun, ICLR 2022)."""
    first, second = covariance_matrix(x), covariance_matrix(y)
    return {
        "loss_inv": 25 * mse_loss(x, y),
        "loss_var": 12.5 * (variance(first) + variance(second)),
        "loss_cov": covariance(first) + covariance(second),
    }


@MODELS.register_module()
class VICReg(BaseSelfSupervisor):
    """VICReg on the pooled features of the last stage.

    Args:
        backbone: Config.
        expander: Widths of the expander, from the backbone's.
        data_preprocessor: Config.
    """

    def __init__(self, backbone: dict, expander: list[int], data_preprocessor: dict) -> None:
        super().__init__(backbone, None, None, None, None, data_preprocessor)
        self.expander = mlp(expander)

    def loss(self, inputs: list[Tensor], data_samples: list) -> dict[str, Tensor]:
        """Losses of a batch."""
        return vicreg(*(self.expander(self.backbone(view)[-1].mean((2, 3))) for view in inputs))


@MODELS.register_module()
class VICRegL(BaseSelfSupervisor):
    """VICRegL (Bardes, Ponce, LeCun, NeurIPS 2022): pooled VICReg, and VICReg on matches of dense features.

    Dense tokens are matched with their nearest neighbours twice: by place in the original image, where the share
    `matches` with the smallest distance counts, and by feature, where all count. Terms are averaged over views, so
    covariance has half its weight in VICReg. All this follows the authors' code; the last two arguments change it.

    Args:
        backbone: Config; with two stages the dense features are both, on the grid of the finer one.
        expander: Widths of the pooled expander.
        dense_expander: Widths of the dense one.
        data_preprocessor: Config.
        alpha: Weight of the pooled half; published for ResNet-50: 0.75.
        matches: By place; published for ResNet-50: 20 of 49.
        feature_matches: By feature.
        cov_weight: Weight of the summed covariance terms of both views; 0.5 averages them.
    """

    def __init__(
        self,
        backbone: dict,
        expander: list[int],
        dense_expander: list[int],
        data_preprocessor: dict,
        alpha: float = 0.75,
        matches: float = 20 / 49,
        feature_matches: float = 1.0,
        cov_weight: float = 0.5,
    ) -> None:
        super().__init__(backbone, None, None, None, None, data_preprocessor)
        self.expander, self.dense_expander = mlp(expander), mlp(dense_expander)
        self.alpha, self.matches, self.feature_matches, self.cov_weight = alpha, matches, feature_matches, cov_weight

    def _dense(self, feats: tuple[Tensor, ...]) -> Tensor:
        maps = torch.cat([interpolate(f, feats[0].shape[-2:], mode="bilinear") for f in feats], 1)
        tokens = maps.flatten(2).transpose(1, 2)
        return self.dense_expander(tokens.flatten(0, 1)).unflatten(0, tokens.shape[:2])

    @staticmethod
    def matched(x: Tensor, y: Tensor, distance: Tensor, share: float) -> dict[str, Tensor]:
        """VICReg of the tokens of x and their nearest tokens of y, with statistics over the batch at each match.

        Args:
            x: (B, N, D).
            y: (B, N, D).
            distance: (B, N, N).
            share: Of the tokens of x that count, those with the smallest distance.
        """
        nearest, partner = distance.min(2)
        keep = nearest.topk(max(1, round(share * x.shape[1])), largest=False).indices.sort(1).values
        partner = partner.gather(1, keep)
        x, y = (t.gather(1, i[:, :, None].expand(-1, -1, t.shape[2])) for t, i in ((x, keep), (y, partner)))
        var = cov = 0
        for tokens in (x, y):
            centred = (tokens - tokens.mean(0)).transpose(0, 1)  # (K, B, D)
            variances = centred.square().sum(1) / (len(tokens) - 1)
            var = var + 12.5 * torch.relu(1 - torch.sqrt(variances + 1e-4)).mean()
            # the squares of the D x D covariance and of the B x B Gram matrix have the same sum
            gram = centred @ centred.transpose(1, 2) / (len(tokens) - 1)
            off_diagonal = gram.square().sum((1, 2)) - variances.square().sum(1)
            cov = cov + (off_diagonal / tokens.shape[2]).mean()
        return {"loss_inv": 25 * mse_loss(x, y), "loss_var": var, "loss_cov": cov}

    def loss(self, inputs: list[Tensor], data_samples: list) -> dict[str, Tensor]:
        """Losses of a batch."""
        feats = [self.backbone(view) for view in inputs]
        pooled = vicreg(*(self.expander(f[-1].mean((2, 3))) for f in feats))
        x, y = (self._dense(f) for f in feats)
        matrices = torch.from_numpy(np.stack([s.view_to_image for s in data_samples])).to(x)
        grid = tuple(feats[0][0].shape[-2:])
        place = torch.cdist(*(token_centres(matrices[:, view], grid) for view in (0, 1)))
        feature = torch.cdist(x.detach(), y.detach())
        halves = []
        for distance, share in ((place, self.matches), (feature, self.feature_matches)):
            halves += [self.matched(x, y, distance, share), self.matched(y, x, distance.transpose(1, 2), share)]
        losses = {}
        for name, value in pooled.items():
            dense = torch.stack([half[name] for half in halves]).mean()
            losses[name] = self.alpha * value + (1 - self.alpha) * dense
        losses["loss_cov"] = self.cov_weight * losses["loss_cov"]
        return losses


@MODELS.register_module()
class TwoStageDenseCLNeck(DenseCLNeck):
    """MMPretrain's DenseCLNeck with a dense branch that reads the last two stages on the grid of the finer one.

    Args:
        in_channels: Of both stages.
        **kwargs: See DenseCLNeck.
    """

    def __init__(self, in_channels: tuple[int, int], **kwargs: object) -> None:
        super().__init__(in_channels=in_channels[-1], **kwargs)
        hidden = self.mlp2[0].out_channels
        self.mlp2[0] = nn.Conv2d(sum(in_channels), hidden, 1)

    def forward(self, x: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Pooled (B, D), dense (B, D, h w) and averaged dense (B, D) features."""
        fine, coarse = x
        pooled = self.mlp(coarse.mean((2, 3)))
        maps = torch.cat([fine, interpolate(coarse, fine.shape[-2:], mode="bilinear")], 1)
        dense = self.mlp2(maps)
        return pooled, dense.flatten(2), dense.mean((2, 3))
