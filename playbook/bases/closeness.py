"""How close a base is to the texts of the task (2.2): its vocabulary, and how much its features tell texts apart.

- Tokens per word ("fertility") and unknown tokens: Rust et al., ACL 2021, "How Good is Your Tokenizer?": a vocabulary
  that is far from the texts cuts words into many pieces or does not know them.
- RankMe: Garrido, Balestriero, Najman and LeCun, ICML 2023: the effective rank (Roy and Vetterli, EUSIPCO 2007) of the
  features. A base that sees nothing but alike texts uses few directions. No labels are needed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from playbook.artifacts import Closeness
from playbook.bases.locate import TOKENIZER

MEASURE = "RankMe, the effective rank of the features (Garrido et al. 2023, ICML)"
EPSILON = 1e-7  # the paper's, for singular values of zero
_WORD = re.compile(r"\w+|[^\w\s]")  # a punctuation mark is a word of its own, so that it costs no base anything


def measure_closeness(folder: Path, texts: Sequence[str], features: npt.NDArray[np.floating[Any]]) -> Closeness:
    """Closeness of the base in `folder` to the texts; `features` are its features of them, shape (texts, width)."""
    tokens_per_word, unknown_share = vocabulary_fit(folder / TOKENIZER, texts)
    return Closeness(
        tokens_per_word=tokens_per_word, unknown_share=unknown_share, features=rank_me(features), measure=MEASURE
    )


def vocabulary_fit(tokenizer_file: Path, texts: Sequence[str]) -> tuple[float, float]:
    """Tokens per word, and the share of unknown ones among the tokens; whole texts, without special tokens."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(tokenizer_file))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    unknown = _unknown_id(tokenizer_file, tokenizer)
    encoded = tokenizer.encode_batch(list(texts), add_special_tokens=False)
    tokens = sum(len(encoding.ids) for encoding in encoded)
    words = sum(len(_WORD.findall(text)) for text in texts)
    missed = sum(encoding.ids.count(unknown) for encoding in encoded) if unknown is not None else 0
    return tokens / max(words, 1), missed / max(tokens, 1)


def rank_me(features: npt.NDArray[np.floating[Any]]) -> float:
    """Exponential of the entropy of the normalised singular values of features, shape (rows, width).

    Between 1 (all rows on one line) and the smaller of both sizes (all directions used alike).
    """
    values = np.linalg.svd(features.astype(np.float64), compute_uv=False)
    shares = values / max(float(values.sum()), EPSILON) + EPSILON
    return float(np.exp(-(shares * np.log(shares)).sum()))


def _unknown_id(tokenizer_file: Path, tokenizer: Any) -> int | None:
    """The token of what the vocabulary cannot write; byte-level vocabularies can write everything and have none."""
    model = json.loads(tokenizer_file.read_text(encoding="utf-8")).get("model", {})
    if isinstance(model.get("unk_id"), int):
        return int(model["unk_id"])
    token = model.get("unk_token")
    found: int | None = tokenizer.token_to_id(token) if isinstance(token, str) else None
    return found
