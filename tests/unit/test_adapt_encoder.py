"""The packed encoder against transformers' own models, and its tensors on their way to and from files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_base import write_tiny_base

from playbook.adapt.cache import embed_rows, length_order
from playbook.adapt.classifier import TextClassifier, load_bundle, save_bundle
from playbook.adapt.encoder import ARCHITECTURES, Encoder, Span, load_encoder, spans_of
from playbook.adapt.tokens import Tokens, ragged, tokenize
from playbook.errors import ArtifactError, PinMismatch

LENGTHS = (5, 3, 9, 5, 1, 9, 2)
CLOSE = 1e-5
TEXTS = ["refund my order", "password", "the parcel never came please", "is late", "log in reset", ""]


def make_model(family: str) -> Any:
    import transformers as t

    torch.manual_seed(11)
    sizes = {
        "vocab_size": 60, "hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 40,
    }  # fmt: skip
    distil = {"vocab_size": 60, "dim": 24, "n_layers": 3, "n_heads": 4, "hidden_dim": 40}
    models: dict[str, Any] = {
        "bert": lambda: t.BertModel(t.BertConfig(**sizes, hidden_act="gelu_new", type_vocab_size=2)),
        "roberta": lambda: t.RobertaModel(t.RobertaConfig(**sizes, type_vocab_size=1, pad_token_id=1)),
        "xlm-roberta": lambda: t.XLMRobertaModel(t.XLMRobertaConfig(**sizes, pad_token_id=1)),
        "distilbert": lambda: t.DistilBertModel(t.DistilBertConfig(**distil)),
    }
    model = models[family]().eval()
    with torch.no_grad():  # default weights are so small that a swapped matrix would hide within the tolerance
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return model


def tokens_of(lengths: tuple[int, ...] = LENGTHS) -> Tokens:
    rng = np.random.default_rng(4)
    return ragged([rng.integers(5, 60, length) for length in lengths])


def last_hidden(model: Any, tokens: Tokens, pad: int) -> torch.Tensor:
    """What transformers says for a padded batch, (rows, longest, width)."""
    width = int(tokens.lengths.max())
    ids, mask = torch.full((len(tokens), width), pad), torch.zeros(len(tokens), width, dtype=torch.long)
    for row, length in enumerate(tokens.lengths):
        ids[row, :length] = torch.from_numpy(tokens.take(np.array([row])).ids).long()
        mask[row, :length] = 1
    with torch.no_grad():
        found: torch.Tensor = model(input_ids=ids, attention_mask=mask).last_hidden_state
    return found


def packed(encoder: Encoder, tokens: Tokens, dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, list[Span]]:
    rows = np.arange(len(tokens))
    with torch.no_grad():
        hidden, spans = embed_rows(encoder, tokens, rows, dtype)
        return encoder.run(hidden, spans, 0), spans


@pytest.mark.parametrize("family", ["bert", "roberta", "xlm-roberta", "distilbert"])
def test_it_equals_the_padded_model_of_transformers(family: str, tmp_path: Path) -> None:
    model, tokens = make_model(family), tokens_of()
    model.save_pretrained(tmp_path)
    theirs = last_hidden(model, tokens, pad=1 if "roberta" in family else 0)
    for pooling in ("mean", "cls"):
        encoder = load_encoder(tmp_path, pooling)
        hidden, spans = packed(encoder, tokens)
        rows = torch.split(hidden, tokens.lengths.tolist())
        for row, length in enumerate(tokens.lengths):
            assert (rows[row] - theirs[row, :length]).abs().max() < CLOSE
        first = torch.stack([theirs[row, 0] for row in range(len(tokens))])
        mean = torch.stack([theirs[row, :length].mean(0) for row, length in enumerate(tokens.lengths)])
        expected = first if pooling == "cls" else mean
        assert (encoder.pool(hidden, spans) - expected).abs().max() < CLOSE
    assert float(expected.std()) > 0.1, "features so alike would prove nothing"


def test_a_checkpoint_with_a_prefix_is_the_same_base(tmp_path: Path) -> None:
    model = make_model("bert")
    model.save_pretrained(tmp_path)
    plain = packed(load_encoder(tmp_path, "mean"), tokens_of())[0]
    tensors = load_file(tmp_path / "model.safetensors")
    head = {"cls.predictions.bias": torch.zeros(3)}
    save_file({**{f"bert.{name}": value for name, value in tensors.items()}, **head}, tmp_path / "model.safetensors")
    assert torch.equal(packed(load_encoder(tmp_path, "mean"), tokens_of())[0], plain)


def test_spans_are_runs_of_one_length() -> None:
    assert spans_of([2, 2, 3, 2]) == [Span(0, 2, 2), Span(4, 1, 3), Span(7, 1, 2)]
    assert spans_of(np.array([7])) == [Span(0, 1, 7)]
    assert spans_of([]) == []
    found = spans_of(LENGTHS)
    assert [span.start for span in found[1:]] == [span.stop for span in found[:-1]]
    assert found[-1].stop == sum(LENGTHS)


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_a_row_does_not_depend_on_its_neighbours(pooling: str, tmp_path: Path) -> None:
    make_model("bert").save_pretrained(tmp_path)
    encoder, tokens = load_encoder(tmp_path, pooling), tokens_of()
    hidden, spans = packed(encoder, tokens)
    together = encoder.pool(hidden, spans)
    for row in range(len(tokens)):
        alone = tokens.take(np.array([row]))
        hidden, spans = packed(encoder, alone)
        assert (encoder.pool(hidden, spans)[0] - together[row]).abs().max() < 1e-6
    order = length_order(tokens)
    hidden, spans = packed(encoder, tokens.take(order))
    assert (encoder.pool(hidden, spans) - together[torch.from_numpy(order)]).abs().max() < 1e-6


def test_cutting_between_any_two_blocks_changes_nothing(tmp_path: Path) -> None:
    make_model("roberta").save_pretrained(tmp_path)
    encoder, tokens = load_encoder(tmp_path, "mean"), tokens_of()
    whole, spans = packed(encoder, tokens)
    with torch.no_grad():
        start, _ = embed_rows(encoder, tokens, np.arange(len(tokens)), torch.float32)
        for boundary in range(4):
            below = encoder.run(start, spans, 0, boundary)
            assert torch.equal(encoder.run(below, spans, boundary), whole)


@pytest.mark.parametrize(
    "change",
    [{"model_type": "gpt2"}, {"hidden_act": "relu"}, {"model_type": None}],
    ids=["family", "activation", "none"],
)
def test_other_architectures_are_refused_and_the_supported_ones_named(change: dict[str, Any], tmp_path: Path) -> None:
    make_model("bert").save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, **change}))
    with pytest.raises(PinMismatch, match="supported are") as caught:
        load_encoder(tmp_path, "mean")
    assert all(name in str(caught.value) for name in [*ARCHITECTURES, "gelu", *map(repr, change.values())])


def test_a_missing_or_misshapen_tensor_is_named(tmp_path: Path) -> None:
    make_model("distilbert").save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    name = "transformer.layer.1.ffn.lin2.weight"
    save_file({**tensors, name: torch.zeros(2, 2)}, tmp_path / "model.safetensors")
    with pytest.raises(PinMismatch, match=r"layer\.1\.ffn\.lin2\.weight: expected .*\(24, 40\), found \(2, 2\)"):
        load_encoder(tmp_path, "mean")
    save_file({key: value for key, value in tensors.items() if key != name}, tmp_path / "model.safetensors")
    with pytest.raises(PinMismatch, match="found nothing"):
        load_encoder(tmp_path, "mean")


@pytest.mark.parametrize("damage", ["cut off", "a page", "empty"])
def test_weights_that_cannot_be_read_are_named_with_their_file(damage: str, tmp_path: Path) -> None:
    write_tiny_base(tmp_path)
    weights = tmp_path / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(
        {"cut off": whole[: len(whole) // 2], "a page": b"<html>not found</html>", "empty": b""}[damage]
    )
    with pytest.raises(
        PinMismatch, match=r"model\.safetensors: expected weights as safetensors, .*fetch the base again"
    ):
        load_encoder(tmp_path, "mean")


@pytest.mark.parametrize("family", ["bert", "distilbert"])
def test_named_tensors_go_out_and_come_back(family: str, tmp_path: Path) -> None:
    make_model(family).save_pretrained(tmp_path)
    encoder = load_encoder(tmp_path, "mean")
    stored = load_file(tmp_path / "model.safetensors")
    names = dict(encoder.named_tensors(1))
    assert len(names) == 2 * 16  # two blocks, eight linear layers or norms, each weight and bias
    for name, tensor in names.items():
        assert torch.equal(tensor, stored[name]), name
    changed = {name: torch.randn(tensor.shape) for name, tensor in names.items() if ".2." in name}
    encoder.load_tensors(changed)
    for name, tensor in encoder.named_tensors(0):
        assert torch.equal(tensor, changed.get(name, stored[name])), name


def trained_weights(encoder: Encoder, path: Path, classes: int = 3) -> Path:
    generator = torch.Generator().manual_seed(8)
    noise = {
        name: (tensor + 0.1 * torch.randn(tensor.shape, generator=generator)).detach().contiguous()
        for name, tensor in encoder.named_tensors(1)
    }
    head = {"head.weight": torch.randn(classes, encoder.width, generator=generator), "head.bias": torch.zeros(classes)}
    save_file({**noise, **head}, path)
    return path


def test_a_bundle_answers_as_the_model_it_was_made_of(tmp_path: Path) -> None:
    from transformers import AutoModel

    base, bundle = tmp_path / "base", tmp_path / "bundle"
    pin = write_tiny_base(base)
    encoder = load_encoder(base, pin.pooling)
    weights = trained_weights(encoder, tmp_path / "weights.safetensors")
    trained = load_file(weights)
    save_bundle(bundle, base, pin, ("a", "b", "c"), weights, "float32")
    encoder.load_tensors({name: tensor for name, tensor in trained.items() if not name.startswith("head.")})
    head = {name: tensor for name, tensor in trained.items() if name.startswith("head.")}
    known = TextClassifier(encoder, head, ("a", "b", "c"), base / "tokenizer.json", pin.max_length, torch.float32)
    expected = known.predict_proba(TEXTS)
    loaded = load_bundle(bundle)
    assert loaded.labels == ("a", "b", "c")
    assert np.array_equal(loaded.predict_proba(TEXTS), expected)
    assert np.allclose(expected.sum(1), 1) and len(set(expected.argmax(1))) > 1

    tokens = tokenize(TEXTS, bundle / "tokenizer.json", pin.max_length)
    theirs = last_hidden(AutoModel.from_pretrained(bundle).eval(), tokens, pad=0)
    pooled = torch.stack([theirs[row, :length].mean(0) for row, length in enumerate(tokens.lengths)])
    hidden, spans = packed(loaded.encoder, tokens)
    assert (loaded.encoder.pool(hidden, spans) - pooled).abs().max() < CLOSE


def test_weights_without_a_head_or_of_another_base_make_no_bundle(tmp_path: Path) -> None:
    pin = write_tiny_base(tmp_path / "base")
    head = {"head.weight": torch.zeros(2, 32), "head.bias": torch.zeros(2)}
    for tensors, message in (
        ({"head.weight": head["head.weight"]}, r"expected head\.weight and head\.bias"),
        ({**head, "encoder.layer.7.output.dense.bias": torch.zeros(32)}, "has 0 places"),
    ):
        save_file(tensors, tmp_path / "weights.safetensors")
        with pytest.raises(ArtifactError, match=message):
            save_bundle(tmp_path / "bundle", tmp_path / "base", pin, ("a", "b"), tmp_path / "weights.safetensors")
        assert not (tmp_path / "bundle" / "bundle.json").exists()
