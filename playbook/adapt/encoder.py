"""A transformer encoder over packed rows: exact, without padding, cut anywhere between two blocks.

Rows of a batch lie one behind the other in one (tokens, width) tensor; linear layers and norms see just that,
attention runs per span of rows that have the same length. No position is padding, so no work is wasted and a row's
result does not depend on which rows stand beside it. The same code caches, trains and serves, so that answers agree.

Blocks are those of Devlin et al. 2019 (BERT, post-norm), read from the usual checkpoints of these architectures.
Arithmetic runs in `dtype` (bfloat16 or float32); parameters stay float32 and are cast on use, norms are computed with
float32 parameters, which is what mixed precision training does.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from playbook.errors import PinMismatch

# Where each architecture keeps its parts: (prefix of block N, names inside a block, embedding names, position offset).
_BERT_BLOCK = {
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "attention_output": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "intermediate": "intermediate.dense",
    "output": "output.dense",
    "output_norm": "output.LayerNorm",
}
_DISTILBERT_BLOCK = {
    "query": "attention.q_lin",
    "key": "attention.k_lin",
    "value": "attention.v_lin",
    "attention_output": "attention.out_lin",
    "attention_norm": "sa_layer_norm",
    "intermediate": "ffn.lin1",
    "output": "ffn.lin2",
    "output_norm": "output_layer_norm",
}


@dataclass(frozen=True)
class Architecture:
    """How a family of checkpoints names its tensors and its configuration."""

    block_prefix: str
    block: dict[str, str]
    position_offset: bool  # positions start after the padding id (RoBERTa)
    width: str = "hidden_size"
    heads: str = "num_attention_heads"
    blocks: str = "num_hidden_layers"
    activation: str = "hidden_act"


_BERT = Architecture("encoder.layer.", _BERT_BLOCK, position_offset=False)
_ROBERTA = Architecture("encoder.layer.", _BERT_BLOCK, position_offset=True)
ARCHITECTURES = {
    "bert": _BERT,
    "roberta": _ROBERTA,
    "xlm-roberta": _ROBERTA,
    "camembert": _ROBERTA,
    "distilbert": Architecture(
        "transformer.layer.",
        _DISTILBERT_BLOCK,
        position_offset=False,
        width="dim",
        heads="n_heads",
        blocks="n_layers",
        activation="activation",
    ),
}
EMBEDDINGS = "embeddings."  # begins the names of their tensors
ACTIVATIONS = {"gelu": "none", "gelu_new": "tanh", "gelu_pytorch_tanh": "tanh"}  # config name -> F.gelu's approximation


@dataclass(frozen=True)
class Span:
    """`rows` rows of `length` tokens each, beginning at token `start` of the packed batch."""

    start: int
    rows: int
    length: int

    @property
    def stop(self) -> int:
        """First token behind the span."""
        return self.start + self.rows * self.length


def spans_of(lengths: Sequence[int] | np.ndarray) -> list[Span]:
    """Runs of equal lengths of a packed batch, in order."""
    values = np.asarray(lengths)
    edges = np.flatnonzero(np.diff(values)) + 1
    spans, start = [], 0
    for run in np.split(values, edges):
        if len(run):
            spans.append(Span(start, len(run), int(run[0])))
            start = spans[-1].stop
    return spans


class Block(nn.Module):
    """One transformer block over packed rows."""

    def __init__(self, width: int, inner: int, heads: int, eps: float, approximate: str) -> None:
        super().__init__()
        self.qkv = nn.Linear(width, 3 * width)  # one product instead of three
        self.attention_output = nn.Linear(width, width)
        self.attention_norm = nn.LayerNorm(width, eps)
        self.intermediate = nn.Linear(width, inner)
        self.output = nn.Linear(inner, width)
        self.output_norm = nn.LayerNorm(width, eps)
        self.heads, self.dropout, self.approximate = heads, 0.0, approximate

    def forward(self, hidden: Tensor, spans: Sequence[Span]) -> Tensor:
        """Map (tokens, width) to (tokens, width) in the dtype of `hidden`."""
        attended = self._drop(_linear(self._attend(_linear(hidden, self.qkv), spans), self.attention_output))
        hidden = _norm(hidden + attended, self.attention_norm)
        inner = F.gelu(_linear(hidden, self.intermediate), approximate=self.approximate)
        return _norm(hidden + self._drop(_linear(inner, self.output)), self.output_norm)

    def _drop(self, value: Tensor) -> Tensor:
        return _dropout(value, self.dropout) if self.training and self.dropout > 0 else value

    def _attend(self, qkv: Tensor, spans: Sequence[Span]) -> Tensor:
        width = qkv.shape[1] // 3
        outputs = []
        for span in spans:
            shape = (span.rows, span.length, 3, self.heads, width // self.heads)
            query, key, value = qkv[span.start : span.stop].view(shape).permute(2, 0, 3, 1, 4).unbind(0)
            mixed = _attention(query, key, value)
            outputs.append(mixed.transpose(1, 2).reshape(-1, width))
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs)


def _attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Softmax attention without mask over (rows, heads, length, features).

    On processors the backward pass of torch's fused kernel takes four to seven times as long in bfloat16 as these plain
    products do (rows of 16 to 90 tokens, torch 2.13); on GPUs the fused kernel wins.
    """
    if query.is_cuda:
        return F.scaled_dot_product_attention(query, key, value)
    scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)
    return scores.softmax(-1) @ value


def _dropout(value: Tensor, probability: float) -> Tensor:
    """Inverted dropout (Srivastava et al. 2014); on processors one random byte decides per element, which is cheap.

    The probability is then rounded to a multiple of 1/256.
    """
    if value.is_cuda:
        return F.dropout(value, probability)
    threshold = round(probability * 256)
    words = torch.empty(-(-value.numel() // 8), dtype=torch.int64).random_(-(2**63), None)
    kept = words.view(torch.uint8)[: value.numel()].view_as(value) >= threshold
    return value * kept * (256 / (256 - threshold))


def _linear(value: Tensor, layer: nn.Linear) -> Tensor:
    return F.linear(value, layer.weight.to(value.dtype), layer.bias.to(value.dtype))


def _norm(value: Tensor, layer: nn.LayerNorm) -> Tensor:
    weight, bias = layer.weight, layer.bias
    if value.is_cuda and value.dtype != weight.dtype:  # only the processor's kernel mixes dtypes
        return F.layer_norm(value.float(), layer.normalized_shape, weight, bias, layer.eps).to(value.dtype)
    return F.layer_norm(value, layer.normalized_shape, weight, bias, layer.eps)


class Embeddings(nn.Module):
    """Word, position and (where the architecture has them) token type embeddings with their norm."""

    def __init__(self, tensors: dict[str, Tensor], eps: float, first_position: int) -> None:
        super().__init__()
        word = tensors["embeddings.word_embeddings.weight"]
        position = tensors["embeddings.position_embeddings.weight"]
        kind = tensors.get("embeddings.token_type_embeddings.weight")
        self.word = nn.Parameter(word.float())
        self.position = nn.Parameter(position.float() + (0 if kind is None else kind[0].float()))
        self.norm = nn.LayerNorm(word.shape[1], eps)
        self.norm.weight = nn.Parameter(tensors["embeddings.LayerNorm.weight"].float())
        self.norm.bias = nn.Parameter(tensors["embeddings.LayerNorm.bias"].float())
        self.kinds = 0 if kind is None else len(kind)  # token types that the checkpoint has rows for
        self.first_position, self.dropout = first_position, 0.0

    def forward(self, ids: Tensor, spans: Sequence[Span], dtype: torch.dtype) -> Tensor:
        """Map (tokens,) ids to (tokens, width)."""
        place = torch.cat([torch.arange(span.length, device=ids.device).repeat(span.rows) for span in spans])
        summed = F.embedding(ids, self.word) + F.embedding(place + self.first_position, self.position)
        normed = _norm(summed, self.norm).to(dtype)
        return _dropout(normed, self.dropout) if self.training and self.dropout > 0 else normed

    def named_tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Parameters under their names in a checkpoint.

        Positions and the first token type are one sum here. It is written as the positions, with token types of zero,
        so that reading it back gives the very same numbers.
        """
        yield f"{EMBEDDINGS}word_embeddings.weight", self.word
        yield f"{EMBEDDINGS}position_embeddings.weight", self.position
        if self.kinds:
            yield f"{EMBEDDINGS}token_type_embeddings.weight", self.word.new_zeros(self.kinds, self.word.shape[1])
        yield f"{EMBEDDINGS}LayerNorm.weight", self.norm.weight
        yield f"{EMBEDDINGS}LayerNorm.bias", self.norm.bias

    @torch.no_grad()
    def load_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Put tensors, named as `named_tensors` names them, into place.

        Raises:
            PinMismatch: a tensor is missing or of another shape.
        """
        for name, place in self.named_tensors():
            place.copy_(_checked(tensors, name, place))
        if self.kinds:
            self.position.add_(tensors[f"{EMBEDDINGS}token_type_embeddings.weight"][0].to(self.position))


class Encoder(nn.Module):
    """Embeddings and blocks of a pretrained text encoder; boundary `k` lies below block `k` (from 0)."""

    def __init__(self, embeddings: Embeddings, blocks: list[Block], names: Architecture, pooling: str) -> None:
        super().__init__()
        self.embeddings = embeddings
        self.blocks = nn.ModuleList(blocks)
        self.names, self.pooling = names, pooling

    @property
    def width(self) -> int:
        """Features per token."""
        return int(self.embeddings.word.shape[1])

    def set_dropout(self, probability: float) -> None:
        """Dropout of embeddings and blocks that are in training mode."""
        self.embeddings.dropout = probability
        for block in self.blocks:
            block.dropout = probability  # type: ignore[assignment]

    def run(self, hidden: Tensor, spans: Sequence[Span], first: int, last: int | None = None) -> Tensor:
        """From boundary `first` to boundary `last` (default: the top): (tokens, width) to (tokens, width)."""
        for block in self.blocks[first:last]:
            hidden = block(hidden, spans)
        return hidden

    def pool(self, hidden: Tensor, spans: Sequence[Span]) -> Tensor:
        """One float32 feature vector per row, shape (rows, width): mean over tokens, or the first token."""
        pooled = []
        for span in spans:
            tokens = hidden[span.start : span.stop].view(span.rows, span.length, -1)
            pooled.append(tokens.float().mean(1) if self.pooling == "mean" else tokens[:, 0].float())
        return torch.cat(pooled)

    def named_tensors(self, from_block: int, embeddings: bool = False) -> Iterator[tuple[str, Tensor]]:
        """Parameters of the blocks from `from_block` up, of the embeddings if asked, under their checkpoint names."""
        if embeddings:
            yield from self.embeddings.named_tensors()
        for number in range(from_block, len(self.blocks)):
            yield from _block_tensors(self.blocks[number], number, self.names)  # type: ignore[arg-type]

    def load_tensors(self, tensors: dict[str, Tensor]) -> None:
        """Put trained tensors, named as `named_tensors` names them, into place."""
        in_blocks = [name for name in tensors if not name.startswith(EMBEDDINGS)]
        if len(in_blocks) < len(tensors):
            self.embeddings.load_tensors(tensors)
        for number in sorted({int(name.removeprefix(self.names.block_prefix).split(".")[0]) for name in in_blocks}):
            _fill_block(self.blocks[number], tensors, number, self.names)  # type: ignore[arg-type]


def _block_tensors(block: Block, number: int, names: Architecture) -> Iterator[tuple[str, Tensor]]:
    prefix = f"{names.block_prefix}{number}."
    for kind in ("weight", "bias"):
        for part, tensor in zip(("query", "key", "value"), getattr(block.qkv, kind).chunk(3), strict=True):
            yield f"{prefix}{names.block[part]}.{kind}", tensor
        for part in ("attention_output", "attention_norm", "intermediate", "output", "output_norm"):
            yield f"{prefix}{names.block[part]}.{kind}", getattr(getattr(block, part), kind)


@torch.no_grad()
def _fill_block(block: Block, tensors: dict[str, Tensor], number: int, names: Architecture) -> None:
    for name, place in _block_tensors(block, number, names):
        place.copy_(_checked(tensors, name, place))


def _checked(tensors: dict[str, Tensor], name: str, place: Tensor) -> Tensor:
    if name not in tensors or tensors[name].shape != place.shape:
        found = tuple(tensors[name].shape) if name in tensors else "nothing"
        raise PinMismatch(
            f"{name}: expected a tensor of shape {tuple(place.shape)}, found {found}; config.json and the "
            "weights are of different bases: fetch both again from one revision, or choose another base"
        )
    return tensors[name]


def load_encoder(folder: Path, pooling: str) -> Encoder:
    """Read config.json and model.safetensors of a base into an evaluation-mode encoder, float32.

    Raises:
        PinMismatch: the architecture is not one of ARCHITECTURES, a tensor is missing or of another shape, or a file
            cannot be read.
    """
    config = json.loads((folder / "config.json").read_text())
    kind, activation = config.get("model_type"), config.get("hidden_act", config.get("activation"))
    if str(kind) not in ARCHITECTURES or str(activation) not in ACTIVATIONS:
        raise PinMismatch(
            f"{folder}: found architecture {kind!r} with activation {activation!r}; supported are "
            f"{', '.join(ARCHITECTURES)} with {', '.join(ACTIVATIONS)}. Choose another base."
        )
    names = ARCHITECTURES[kind]
    tensors = _without_model_prefix(_weights(folder / "model.safetensors"))
    eps = config.get("layer_norm_eps", 1e-12)
    inner = config.get("intermediate_size", config.get("hidden_dim"))
    first = config.get("pad_token_id", 1) + 1 if names.position_offset else 0
    blocks = []
    for number in range(config[names.blocks]):
        block = Block(
            config[names.width],
            inner,
            config[names.heads],
            eps,
            ACTIVATIONS[activation],
        )
        _fill_block(block, tensors, number, names)
        blocks.append(block)
    return Encoder(Embeddings(tensors, eps, first), blocks, names, pooling).eval()


def _weights(path: Path) -> dict[str, Tensor]:
    """Tensors of a safetensors file.

    Raises:
        PinMismatch: it is cut off, damaged or none, whatever its hash.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise PinMismatch(
            f"{path}: expected weights as safetensors, found a file that cannot be read ({error}); fetch the base "
            "again, pin the SHA-256 that its makers state, or choose another base"
        ) from None


def _without_model_prefix(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Checkpoints saved from a model with a head carry the encoder under its name, for example `bert.`."""
    for prefix in ("bert.", "roberta.", "distilbert."):
        if any(name.startswith(prefix) for name in tensors):
            return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
    return {name.removeprefix("model."): tensor for name, tensor in tensors.items()}
