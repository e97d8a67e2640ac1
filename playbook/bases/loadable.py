"""Whether a base can be loaded and answers at all, tried before anything is fitted (2.3, 2.4).

The pin says that a base's files are the right ones; that this version can make a model of them shows only the trial.
"""

from __future__ import annotations

from pathlib import Path

from playbook.artifacts import BasePin
from playbook.bases.locate import CONFIG, TOKENIZER, WEIGHTS
from playbook.bases.pin import read_json
from playbook.errors import PinMismatch
from playbook.spec import Adaptation

WORD = "playbook "  # repeated until a text is longer than the base reads, so that every position is tried


def require_loadable(name: str, folder: Path, pin: BasePin, adaptation: Adaptation) -> None:
    """Load a base as training does, and let it read a short and a long text.

    Raises:
        PinMismatch: with what is wrong with it, and what to do.
    """
    import numpy as np

    from playbook.adapt.features import FeatureExtractor

    _require_heads(folder)
    try:
        extract = FeatureExtractor(folder, pin, adaptation)
        _require_rows_for_tokens(folder, len(extract.encoder.embeddings.word))
        features = extract(["a", WORD * pin.max_length])
    except PinMismatch as error:
        raise error if str(folder) in str(error) else PinMismatch(f"{folder}: {error}") from None
    except Exception as error:  # a damaged base fails in whatever library reads it, each with errors of its own
        said = next(iter(str(error).strip().splitlines()), "no message")[:200]
        raise PinMismatch(
            f"{name}: expected a base that reads a text, found {type(error).__name__} ({said}) with {CONFIG}, "
            f"{TOKENIZER} and {WEIGHTS} of {folder}; fetch all its files again from one revision, or choose another"
        ) from None
    if not np.isfinite(features).all():
        raise PinMismatch(
            f"{name}: expected features that are numbers, found infinite or undefined ones with {folder / WEIGHTS}; "
            "fetch the base again, or choose another"
        )


def _require_heads(folder: Path) -> None:
    """Attention splits the width among its heads; a number that does not divide it would be seen only by its error."""
    config = read_json(folder / CONFIG)
    width, heads = (
        next((config[field] for field in fields if field in config), None)
        for fields in (("hidden_size", "dim"), ("num_attention_heads", "n_heads"))
    )
    if width is None or heads is None:
        return  # another architecture, which is named when it is loaded
    if not all(isinstance(one, int) and one > 0 for one in (width, heads)) or width % heads:
        raise PinMismatch(
            f"{folder / CONFIG}: expected a number of attention heads that divides the width, found {heads!r} heads "
            f"and a width of {width!r}; fetch the base again, or choose another"
        )


def _require_rows_for_tokens(folder: Path, rows: int) -> None:
    from tokenizers import Tokenizer

    tokens = Tokenizer.from_file(str(folder / TOKENIZER)).get_vocab(with_added_tokens=True)
    most = max(tokens.values(), default=-1)
    if most >= rows:
        raise PinMismatch(
            f"{folder}: expected a row of embeddings for every token, found {rows:,} rows in {WEIGHTS} and a token "
            f"with the number {most:,} in {TOKENIZER}: the two are of different "
            "bases. Fetch both again from one revision"
        )
