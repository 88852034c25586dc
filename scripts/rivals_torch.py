"""textae's default architecture, and an LSTM autoencoder as large, as a user of PyTorch would write them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

try:
    import torch
except ImportError as error:
    raise ValueError(f"expected PyTorch, received {error}: pip install -e '.[benchmark]'") from None

import numpy as np
from torch import nn
from torch.nn import functional

from measuring import Batch
from rivals import sizes
from textae.config.schema import ModelConfig, TrainingConfig
from textae.hardware import on_accelerator, usable_cores

DEVICE = "cuda" if on_accelerator() else "cpu"
torch.set_num_threads(usable_cores())


class Residual(nn.Module):
    """inputs + linear(gelu(convolution(normalized inputs))), (batch, length, channels)."""

    def __init__(self, channels: int, wide: int, kernel_size: int) -> None:
        super().__init__()
        self.normalize = nn.RMSNorm(channels, eps=1e-6)
        self.widen = nn.Conv1d(channels, wide, kernel_size, padding="same")
        self.narrow = nn.Linear(wide, channels)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return (batch, length, channels)."""
        values = self.widen(self.normalize(inputs).transpose(1, 2)).transpose(1, 2)
        return inputs + self.narrow(functional.gelu(values, approximate="tanh"))


class Convolutional(nn.Module):
    """Token ids (batch, length) -> logits (batch, length, vocabulary)."""

    def __init__(self, config: ModelConfig, vocabulary: int) -> None:
        super().__init__()
        width, inner, wide, latent, stride, kernel_size = sizes(config)
        self.embedding = nn.Embedding(vocabulary, width)
        nn.init.normal_(self.embedding.weight, std=width**-0.5)
        self.down = nn.Conv1d(width, inner, stride, stride=stride)
        self.encoder = Residual(inner, wide, kernel_size)
        self.to_latent = nn.Linear(inner, latent)
        self.from_latent = nn.Linear(latent, inner)
        self.decoder = Residual(inner, wide, kernel_size)
        self.up = nn.ConvTranspose1d(inner, width, stride, stride=stride)
        self.normalize = nn.RMSNorm(width, eps=1e-6)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        values = self.embedding(tokens) * self.embedding.embedding_dim**0.5
        values = self.encoder(self.down(values.transpose(1, 2)).transpose(1, 2))
        values = self.decoder(self.from_latent(self.to_latent(values)))
        values = self.normalize(self.up(values.transpose(1, 2)).transpose(1, 2))
        return functional.linear(values, self.embedding.weight)


class TorchTrainer:
    """An eager or compiled step: float32 or bfloat16 autocast, fused AdamW, clipped gradients, padding ignored."""

    def __init__(self, config: ModelConfig, vocabulary: int, way: str, precision: str) -> None:
        training = TrainingConfig()
        self.model = Convolutional(config, vocabulary).to(DEVICE)
        self.parameters = parameters(self.model)
        self.max_gradient_norm = training.max_gradient_norm
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(),
            lr=1e-4,
            betas=(training.beta_1, training.beta_2),
            weight_decay=training.weight_decay,
            fused=True,
        )

        def loss(tokens: torch.Tensor) -> torch.Tensor:
            with torch.autocast(DEVICE, torch.bfloat16, enabled=precision == "bfloat16"):
                logits = self.model(tokens)
                return functional.cross_entropy(logits.flatten(0, 1), tokens.flatten(), ignore_index=0)

        self.loss = torch.compile(loss, dynamic=False) if way == "compile" else loss

    def __call__(self, batches: Sequence[Batch]) -> int:
        """Train on batches; return their real tokens."""
        for tokens, _ in batches:
            self.optimizer.zero_grad(set_to_none=True)
            loss = self.loss(torch.from_numpy(tokens).to(DEVICE).long())
            loss.backward()
            nn.utils.clip_grad_norm_(self.model.parameters(), self.max_gradient_norm)
            self.optimizer.step()
            float(loss.detach())
        return sum(int(lengths.sum()) for _, lengths in batches)


class Recurrent(nn.Module):
    """An LSTM autoencoder: the encoder's last state is the latent, from which the decoder begins; tied embedding."""

    def __init__(self, vocabulary: int, width: int, hidden: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.encoder = nn.LSTM(width, hidden, batch_first=True)
        self.decoder = nn.LSTM(width, hidden, batch_first=True)
        self.project = nn.Linear(hidden, width)

    @torch.inference_mode()
    def reconstruct(self, tokens: np.ndarray) -> np.ndarray:
        """Return as many ids as came in, (batch, length): greedy, each step reads what the one before wrote."""
        _, state = self.encoder(self.embedding(torch.from_numpy(tokens).to(DEVICE)))
        current = torch.zeros((len(tokens), 1), dtype=torch.long, device=DEVICE)
        written = []
        for _ in range(tokens.shape[1]):
            states, state = self.decoder(self.embedding(current), state)
            current = functional.linear(self.project(states), self.embedding.weight).argmax(-1)
            written.append(current)
        return torch.cat(written, 1).cpu().numpy()


def recurrent(vocabulary: int, width: int, wanted: int) -> Recurrent:
    """Return the LSTM autoencoder whose parameters come nearest to those wanted.

    Raises:
        ValueError: they are not within 2 %.
    """

    def count(hidden: int) -> int:
        return vocabulary * width + 8 * hidden * (width + hidden + 2) + (hidden + 1) * width

    hidden = min(range(1, 1 << 14), key=lambda hidden: abs(count(hidden) - wanted))
    if abs(count(hidden) - wanted) > 0.02 * wanted:
        raise ValueError(f"expected an LSTM of {wanted:,} parameters within 2 %, received {count(hidden):,}")
    return Recurrent(vocabulary, width, hidden).to(DEVICE).eval()


def parameters(model: nn.Module) -> int:
    """Return how many numbers are trained."""
    return sum(weight.numel() for weight in model.parameters())


def product(dtype: str, size: int) -> Callable[[], float]:
    """Return a function that multiplies two square matrices."""
    matrix = torch.randn(size, size).to(DEVICE, getattr(torch, dtype))
    return lambda: float((matrix @ matrix)[0, 0])


def slowness_of_bfloat16() -> float:
    """Return how many times as long as in float32 a product takes; much, without the processor's instructions."""
    seconds = {}
    for dtype in ("float32", "bfloat16"):
        multiply = product(dtype, 512)
        multiply()
        start = time.perf_counter()
        multiply()
        seconds[dtype] = time.perf_counter() - start
    return seconds["bfloat16"] / seconds["float32"]
