"""Banking77 from data to registered model, and ordinary full fine-tuning of the same base as the peer."""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from benchmarks.rows import banking_task, run_task, write_row

PEER_EPOCHS, PEER_RATE, PEER_BATCH = 5, 2e-4, 32


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with train.csv and test.csv")
    parser.add_argument("--peer", action="store_true", help="also run the transformers Trainer")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch) / "home"
        status, seconds = run_task(banking_task(arguments.data, Path(scratch)), home)
        keys = ("state", "frozen_baseline", "rungs", "test", "ship", "model", "seconds")
        write_row(benchmark="banking77", wall_seconds=round(seconds, 1), **{key: status[key] for key in keys})
        if arguments.peer:
            full_fine_tuning(home / "data" / "banking77" / "prepared")


def full_fine_tuning(prepared: Path) -> None:
    """Everything unfrozen at once with the transformers Trainer, on the same training rows and the same test split."""
    import pandas as pd
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, Trainer, TrainingArguments

    from playbook.bases.locate import locate_base
    from playbook.taskfile import load_task

    spec = load_task(Path(__file__).resolve().parents[1] / "tests" / "tasks" / "banking77.yaml").spec
    base = locate_base(spec.base, lambda place: place)
    tables = {split: pd.read_parquet(prepared / f"{split}.parquet") for split in ("train", "test")}
    tokenizer = AutoTokenizer.from_pretrained(base)
    model = AutoModelForSequenceClassification.from_pretrained(
        base, num_labels=len(spec.labels), use_safetensors=True, trust_remote_code=False
    )
    number = {label: place for place, label in enumerate(spec.labels)}

    def rows(split: str) -> list[dict[str, object]]:
        table = tables[split]
        encoded = tokenizer(table["text"].tolist(), truncation=True, max_length=spec.base.max_length)
        return [
            {"input_ids": ids, "attention_mask": mask, "labels": number[label]}
            for ids, mask, label in zip(encoded["input_ids"], encoded["attention_mask"], table["label"], strict=True)
        ]

    with tempfile.TemporaryDirectory() as scratch:
        settings = TrainingArguments(
            output_dir=scratch,
            num_train_epochs=PEER_EPOCHS,
            learning_rate=PEER_RATE,
            per_device_train_batch_size=PEER_BATCH,
            per_device_eval_batch_size=128,
            bf16=True,
            save_strategy="no",
            report_to=[],
            seed=13,
            use_cpu=not torch.cuda.is_available(),
            logging_strategy="no",
            disable_tqdm=True,
        )
        trainer = Trainer(model=model, args=settings, train_dataset=rows("train"), processing_class=tokenizer)
        began = time.perf_counter()
        trainer.train()
        seconds = time.perf_counter() - began
        test = rows("test")
        answers = trainer.predict(test).predictions.argmax(1)
    accuracy = float((answers == [row["labels"] for row in test]).mean())
    write_row(benchmark="banking77 peer: full fine-tuning, Trainer", test=accuracy, train_seconds=round(seconds, 1))


if __name__ == "__main__":
    main()
