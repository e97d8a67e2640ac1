"""A BERT small enough for tests: random weights from a seed, hidden size 32, two blocks, a WordPiece tokenizer."""

from __future__ import annotations

from pathlib import Path

from playbook.artifacts import BasePin
from playbook.bases.pin import pin_base
from playbook.spec import Base
from playbook.store import file_sha256

WORDS = [
    "refund",
    "my",
    "order",
    "is",
    "late",
    "password",
    "reset",
    "please",
    "the",
    "parcel",
    "never",
    "came",
    "log",
    "in",
]


def write_tiny_base(folder: Path, seed: int = 3) -> BasePin:
    """Save the base as transformers does and return its pin."""
    import torch
    from transformers import BertConfig, BertModel

    torch.manual_seed(seed)
    _write_tokenizer(folder)
    config = BertConfig(
        vocab_size=5 + len(WORDS) + 26,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    BertModel(config).save_pretrained(folder)
    return pin_base(tiny_spec(folder), folder)


def tiny_spec(folder: Path) -> Base:
    return Base(folder=str(folder), sha256=file_sha256(folder / "model.safetensors"), licence="mit", max_length=32)


def _write_tokenizer(folder: Path) -> None:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = [f"##{chr(code)}" for code in range(ord("a"), ord("z") + 1)]
    vocabulary = {word: number for number, word in enumerate([*special, *WORDS, *letters])}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, **{"unk_token": "[UNK]"}))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), special, strict=True))
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names).save_pretrained(folder)


def write_tiny_weights(path: Path, classes: int, seed: int = 5) -> Path:
    """Trained tensors as a rung leaves them: a head, and one matrix of the topmost block. Answers differ by text."""
    import torch
    from safetensors.torch import save_file

    generator = torch.Generator().manual_seed(seed)
    tensors = {
        "head.weight": torch.randn(classes, 32, generator=generator),
        "head.bias": torch.randn(classes, generator=generator),
        "encoder.layer.1.output.dense.weight": torch.randn(32, 64, generator=generator) * 0.1,
    }
    save_file(tensors, path)
    return path
