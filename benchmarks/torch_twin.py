"""The paper's networks in PyTorch, for side-by-side comparison; our own code, literal forms.

Module names are the reference implementation's, so state_dicts are interchangeable with its
checkpoints. The forms are those of the paper's description (strided and transposed convolutions,
channels first), not the ones that `resunet_lc_jax` computes with: that is the point of a twin.
"""

import torch
from torch import nn
from torch.nn import functional


def create_twin(
    name: str,
    *,
    num_classes: int = 26,
    num_leads: int = 12,
    num_samples: int = 4096,
    width: int = 128,
    dropout: float = 0.5,
    odd_lead_shift: bool = False,
) -> nn.Module:
    """The PyTorch network that `resunet_lc_jax.models.create_model` calls by the same name.

    It maps signals [B, L, T] to logits [B, K]; num_samples is T, all else as there.

    Raises:
        ValueError: for a name without a twin.
    """
    steps = -(-num_samples // 32)
    if name in ("resunet_lc", "resu2d_lc"):
        return ResUNetLC(num_classes, num_leads, steps, width, dropout)
    if name == "res2d_lc":
        return Res2DLC(num_classes, num_leads, steps, width, dropout, odd_lead_shift)
    if name == "res2d_maxpool":
        return Res2DMaxPool(num_classes, width, dropout, odd_lead_shift)
    if name == "res1d_maxpool":
        return Res1DMaxPool(num_classes, num_leads, width, dropout)
    raise ValueError(f"no twin is called {name!r}")


def _activate(x: torch.Tensor) -> torch.Tensor:
    return functional.leaky_relu(x, 0.01)


def _unit(convolution: nn.Module, features: int) -> nn.Sequential:
    return nn.Sequential(convolution, nn.BatchNorm2d(features), nn.LeakyReLU(0.01))


class Stem2D(nn.Module):
    """Convolution (3, 15) of stride (1, 2), BatchNorm, LeakyReLU."""

    def __init__(self, width: int) -> None:
        """Makes the layers."""
        super().__init__()
        self.conv1_1 = nn.Conv2d(1, width, (3, 15), (1, 2), (1, 7), bias=False)
        self.bn1_1 = nn.BatchNorm2d(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps [B, 1, L, T] to [B, W, L, T / 2]."""
        return _activate(self.bn1_1(self.conv1_1(x)))


class Stem1D(nn.Module):
    """Convolution 15 of stride 2, BatchNorm, LeakyReLU."""

    def __init__(self, num_leads: int, width: int) -> None:
        """Makes the layers."""
        super().__init__()
        self.conv = nn.Conv1d(num_leads, width, 15, 2, 7, bias=False)
        self.bn = nn.BatchNorm1d(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps [B, L, T] to [B, W, T / 2]."""
        return _activate(self.bn(self.conv(x)))


class ResUBlock(nn.Module):
    """The residual U block."""

    def __init__(self, width: int, middle: int, depth: int) -> None:
        """Makes the layers."""
        super().__init__()
        size, padding = (3, 9), (1, 4)
        self.conv1 = nn.Conv2d(width, width, size, 1, padding, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.encoders, self.decoders = nn.ModuleList(), nn.ModuleList()
        for i in range(depth):
            inputs = width if i == 0 else middle
            conv = nn.Conv2d(inputs, middle, size, (1, 2), padding, bias=False)
            self.encoders.append(_unit(conv, middle))
        for i in range(depth):
            features = width if i == depth - 1 else middle
            transposed = nn.ConvTranspose2d(
                2 * middle, features, size, (1, 2), padding, output_padding=(0, 1), bias=False
            )
            self.decoders.append(_unit(transposed, features))
        self.bottleneck = _unit(nn.Conv2d(middle, middle, size, 1, padding, bias=False), middle)
        self.idfunc_0 = nn.AvgPool2d((1, 2))
        self.idfunc_1 = nn.Conv2d(width, width, 1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps [B, W, L, T] to [B, W, L, T / 2]."""
        x = _activate(self.bn1(self.conv1(x)))
        y, encoded = x, []
        for encoder in self.encoders:
            y = encoder(y)
            encoded.append(y)
        y = self.bottleneck(y)
        for decoder, skip in zip(self.decoders, reversed(encoded), strict=True):
            y = decoder(torch.cat([y, skip], dim=1))
        return self.idfunc_1(self.idfunc_0(x + y[..., : x.shape[-1]]))


class ResidualBlock2D(nn.Module):
    """Two convolutions (3, 9) beside an average pool and a 1x1 convolution."""

    def __init__(self, width: int, odd_lead_shift: bool) -> None:
        """Makes the layers."""
        super().__init__()
        self.odd_lead_shift = odd_lead_shift
        self.conv1 = nn.Conv2d(width, width, (3, 9), (1, 2), (1, 4), bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, (3, 9), 1, (1, 4), bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.idfunc_0 = nn.AvgPool2d((1, 2))
        self.idfunc_1 = nn.Conv2d(width, width, 1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps [B, W, L, T] to [B, W, L, T / 2]."""
        y = _activate(self.bn1(self.conv1(x)))
        y = _activate(self.bn2(self.conv2(y)))
        if x.shape[-1] % 2 or (self.odd_lead_shift and x.shape[-2] % 2):
            x = functional.pad(x, (1, 0))
        return y + self.idfunc_1(self.idfunc_0(x))


class ResidualBlock1D(nn.Module):
    """Two convolutions of width 9 beside an average pool and a 1x1 convolution."""

    def __init__(self, width: int) -> None:
        """Makes the layers."""
        super().__init__()
        self.conv1 = nn.Conv1d(width, width, 9, 2, 4, bias=False)
        self.bn1 = nn.BatchNorm1d(width)
        self.conv2 = nn.Conv1d(width, width, 9, 1, 4, bias=False)
        self.bn2 = nn.BatchNorm1d(width)
        self.idfunc_0 = nn.AvgPool1d(2)
        self.idfunc_1 = nn.Conv1d(width, width, 1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps [B, W, T] to [B, W, T / 2]."""
        y = _activate(self.bn1(self.conv1(x)))
        y = _activate(self.bn2(self.conv2(y)))
        return y + self.idfunc_1(self.idfunc_0(functional.pad(x, (x.shape[-1] % 2, 0))))


class LeadCombiner(nn.Module):
    """Two 1x1 convolutions, over channels and leads and over time and leads, each pooled."""

    def __init__(self, num_leads: int, steps: int, width: int, dropout: float) -> None:
        """Makes the layers."""
        super().__init__()
        self.conv2_1 = nn.Conv1d(width * num_leads, width, 1, bias=False)
        self.bn2_1 = nn.BatchNorm1d(width)
        self.conv2_2 = nn.Conv1d(steps * num_leads, width, 1, bias=False)
        self.bn2_2 = nn.BatchNorm1d(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Maps [B, W, L, t] to [B, 2 W]."""
        by_time = self.conv2_1(x.flatten(1, 2))
        by_channel = self.conv2_2(x.permute(0, 3, 2, 1).flatten(1, 2))
        by_time = self.dropout(_activate(self.bn2_1(by_time))).amax(-1)
        by_channel = self.dropout(_activate(self.bn2_2(by_channel))).amax(-1)
        return torch.cat([by_time, by_channel], dim=1)


class ResUNetLC(nn.Module):
    """ResUNet-LC."""

    def __init__(
        self, num_classes: int, num_leads: int, steps: int, width: int, dropout: float
    ) -> None:
        """Makes the layers."""
        super().__init__()
        self.inconv = Stem2D(width)
        self.rub_0 = ResUBlock(width, width // 2, 6)
        self.rub_1 = ResUBlock(width, width // 2, 5)
        self.rub_2 = ResUBlock(width, width // 2, 4)
        self.rub_3 = ResUBlock(width, width // 2, 3)
        self.lc = LeadCombiner(num_leads, steps, width, dropout)
        self.fc = nn.Linear(2 * width, num_classes)

    def forward(self, signal: torch.Tensor) -> torch.Tensor:
        """Maps [B, L, T] to logits [B, K]."""
        x = self.inconv(signal[:, None])
        x = self.rub_3(self.rub_2(self.rub_1(self.rub_0(x))))
        return self.fc(self.lc(x))


class Res2DLC(nn.Module):
    """Res2D_LC: residual blocks and the lead combiner."""

    def __init__(
        self,
        num_classes: int,
        num_leads: int,
        steps: int,
        width: int,
        dropout: float,
        odd_lead_shift: bool,
    ) -> None:
        """Makes the layers."""
        super().__init__()
        self.inconv = Stem2D(width)
        self.rb_0 = ResidualBlock2D(width, odd_lead_shift)
        self.rb_1 = ResidualBlock2D(width, odd_lead_shift)
        self.rb_2 = ResidualBlock2D(width, odd_lead_shift)
        self.rb_3 = ResidualBlock2D(width, odd_lead_shift)
        self.lc = LeadCombiner(num_leads, steps, width, dropout)
        self.fc = nn.Linear(2 * width, num_classes)

    def forward(self, signal: torch.Tensor) -> torch.Tensor:
        """Maps [B, L, T] to logits [B, K]."""
        x = self.inconv(signal[:, None])
        x = self.rb_3(self.rb_2(self.rb_1(self.rb_0(x))))
        return self.fc(self.lc(x))


class Res2DMaxPool(nn.Module):
    """Res2D_MaxPool: residual blocks, maximum over leads and time."""

    def __init__(self, num_classes: int, width: int, dropout: float, odd_lead_shift: bool) -> None:
        """Makes the layers."""
        super().__init__()
        self.inconv = Stem2D(width)
        self.rb_0 = ResidualBlock2D(width, odd_lead_shift)
        self.rb_1 = ResidualBlock2D(width, odd_lead_shift)
        self.rb_2 = ResidualBlock2D(width, odd_lead_shift)
        self.rb_3 = ResidualBlock2D(width, odd_lead_shift)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(width, num_classes)

    def forward(self, signal: torch.Tensor) -> torch.Tensor:
        """Maps [B, L, T] to logits [B, K]."""
        x = self.inconv(signal[:, None])
        x = self.rb_3(self.rb_2(self.rb_1(self.rb_0(x))))
        return self.fc(self.dropout(x).amax((2, 3)))


class Res1DMaxPool(nn.Module):
    """Res1D_MaxPool: leads as channels, maximum over time."""

    def __init__(self, num_classes: int, num_leads: int, width: int, dropout: float) -> None:
        """Makes the layers."""
        super().__init__()
        self.inconv = Stem1D(num_leads, width)
        self.rb_0, self.rb_1 = ResidualBlock1D(width), ResidualBlock1D(width)
        self.rb_2, self.rb_3 = ResidualBlock1D(width), ResidualBlock1D(width)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(width, num_classes)

    def forward(self, signal: torch.Tensor) -> torch.Tensor:
        """Maps [B, L, T] to logits [B, K]."""
        x = self.inconv(signal)
        x = self.rb_3(self.rb_2(self.rb_1(self.rb_0(x))))
        return self.fc(self.dropout(x).amax(2))
