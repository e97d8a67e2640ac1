"""Features of the frozen base for any texts: what references, the bake-off and comparisons of inputs stand on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from playbook.adapt.cache import chunks_of, embed_rows, length_order
from playbook.adapt.encoder import Encoder, load_encoder
from playbook.adapt.precision import compute_dtype, set_threads, training_device
from playbook.adapt.tokens import Tokens, tokenize
from playbook.artifacts import BasePin
from playbook.settings import settings
from playbook.spec import Adaptation


class FeatureExtractor:
    """A frozen base that maps texts to one vector each, in the arithmetic that training uses."""

    def __init__(self, folder: Path, pin: BasePin, adaptation: Adaptation) -> None:
        set_threads(settings().threads, 1)
        self.folder, self.max_length = folder, pin.max_length
        self.device = training_device(adaptation.accelerator)
        self.dtype = compute_dtype(adaptation.precision, self.device)
        self.encoder: Encoder = load_encoder(folder, pin.pooling).requires_grad_(False).to(self.device)

    def tokens(self, texts: Sequence[str]) -> Tokens:
        """Token ids of texts, cut at the base's length."""
        return tokenize(texts, self.folder / "tokenizer.json", self.max_length)

    @torch.inference_mode()
    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """Pooled features, float32 of shape (texts, width)."""
        tokens = self.tokens(texts)
        found = np.zeros((len(texts), self.encoder.width), np.float32)
        order = length_order(tokens)
        for part in chunks_of(tokens.lengths[order]):
            hidden, spans = embed_rows(self.encoder, tokens, order[part], self.dtype)
            found[order[part]] = self.encoder.pool(self.encoder.run(hidden, spans, 0), spans).cpu().numpy()
        return found
