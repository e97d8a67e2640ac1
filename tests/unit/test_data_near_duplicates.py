"""What counts as a copy of a text: folding, thresholds that follow length, and keys that repeat inside of texts."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from data_samples import rows, sample

from playbook.data.audit import audit
from playbook.data.duplicates import edits, near_duplicates
from playbook.data.folding import folded
from playbook.data.keys import keys_in, repeated_keys
from playbook.data.prepare import prepare
from playbook.data.rules import rules

SHORT = "why was my card payment declined today"  # 38 characters
LONG = "hello, the parcel you promised for monday is still not here, what became of it now"  # 83 characters


FULL_WIDTH = "".join(chr(ord(c) + 0xFEE0) if c.isalpha() else c for c in "my card is lost, block it now")


def typo(text: str, rng: random.Random) -> str:
    at = rng.randrange(1, len(text) - 2)
    letter = rng.choice("abcdefghijklmnopqrstuvwxyz")
    swapped = text[:at] + text[at + 1] + text[at] + text[at + 2 :]
    return rng.choice(
        [text[:at] + text[at + 1 :], text[:at] + letter + text[at:], text[:at] + letter + text[at + 1 :], swapped]
    )


@pytest.mark.parametrize("text", [SHORT, LONG], ids=["short", "long"])
@pytest.mark.parametrize(("typos", "least"), [(1, 0.95), (2, 0.85)])
def test_typos_are_found_whatever_the_length(text: str, typos: int, least: float) -> None:
    rng = random.Random(6)  # noqa: S311
    variants = []
    for _ in range(200):
        variant = text
        for _ in range(typos):
            variant = typo(variant, rng)
        variants.append(variant)
    found = near_duplicates([text], variants)
    assert len(found) >= least * 200
    assert len(near_duplicates([text], variants, 0.9)) < len(found)  # what a fixed threshold sees of it


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("where is my order ORD-48213, it is late", "where is my order ORD-99107, it is late"),
        ("call me at +49 170 1234567 about the invoice", "call me at 0171 / 98 76 543 about the invoice"),
        ("look at https://shop.example/a?id=1 please, wrong price", "look at http://x.example/b please, wrong price"),
        ("@support my app does not start anymore", "@HelpDesk7 my app does not start anymore"),
        ("write to ann@example.org about the lost parcel", "write to bob.b@mail.example about the lost parcel"),
        ("my paypal account is locked since monday", "my раyраl асcount is lосked since monday"),
        ("my card is lost, block it now", FULL_WIDTH),
        ("The oﬃce chair has arrived broken", "The office chair has arrived broken"),
        ("Tom &amp; Jerry&#39;s tickets came twice", "Tom & Jerry's tickets came twice"),
        ("<p>My card was <b>declined</b><br/>at the shop</p>", "My card was declined at the shop"),
        ("see bit.ly/3xYz for my broken screen", "see t.co/9aBc for my broken screen"),
        ("where is order no. 4711 of last week", "where is order no. 4712 of last week"),
        ("my iban DE89 3704 0044 0532 0130 00 is wrong", "my iban DE12 5001 0517 0648 4898 90 is wrong"),
        ("Моя карта не работает", "Моя kаpтa не работает"),
    ],
)
def test_what_a_template_leaves_open_and_look_alikes_are_folded(first: str, second: str) -> None:
    assert len(near_duplicates([first], [second])) == len(near_duplicates([first], [second], 0.9)) == 1


@pytest.mark.parametrize(
    "text",
    [
        "I tried $100 but got €10,000 in 2018, that is 12.50 too much",
        "Привет, где мой заказ и когда он придёт",
        "Πού είναι η παραγγελία μου",
        "iphone 12, room 4, 24/7, 20 % off at 12:30",
    ],
)
def test_amounts_years_and_other_scripts_stay(text: str) -> None:
    assert folded(text) == text


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("SKU-48213", "SKU-99107"),  # texts that are nothing but what is folded
        ("B07XJ8C8F5", "B09G9FPHY6"),
        ("12345", "67890"),
        ("https://evil.example/login", "https://bank.example/start"),
        ("ann@x.example", "bob@y.example"),
        ("@anna", "@berta"),
        ("+49 170 1234567", "0171 9876543"),
        ("what does error 10060 mean", "what does error 12029 mean"),  # names, not numbers of orders
        ("in 1789 there was a revolution", "in 1848 there was a revolution"),
        ("my ISO 27001 certificate is here", "my ISO 14001 certificate is here"),
        ("the order of 2016 was fine for me", "the order of 2019 was fine for me"),
        ("I have paid 1500 euros", "I have paid 2700 euros"),
        ("balance is 12000 yen only", "balance is 45000 yen only"),
        ("我想问一下 10000元怎么转账给朋友", "我想问一下 50000个人可以参加活动吗"),
        ("请大家看一看https://a.example这个价格不对", "请大家看一看https://a.example我的密码忘了"),
    ],
)
def test_what_a_text_is_about_is_not_folded(first: str, second: str) -> None:
    assert near_duplicates([first], [second]) == []


def test_numbers_and_addresses_are_folded_beside_letters_without_blanks() -> None:
    assert folded("订单12345在哪里请尽快告诉我").split() == ["订单", "№", "在哪里请尽快告诉我"]
    assert folded("看看https://a.example/x这个价格不对").split() == ["看看", "↗", "这个价格不对"]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("can I transfer money to a friend", "can I withdraw money at a station"),
        ("error f72, what does it mean", "error f87, what does it mean"),  # another digit is another matter
        ("I lost my card", "I lost my phone"),
        ("yes", "no"),
        ("love it 😀", "love it 😡"),
        ("I am able to pay this", "I am unable to pay this"),
        ("It is possible to cancel my plan", "It is impossible to cancel my plan"),
        ("I can log in to it now", "I can't log in to it now"),
        ("where do i order a new card here", "where do i cancel a new card here"),
    ],
)
def test_other_matters_are_no_copies(first: str, second: str) -> None:
    assert near_duplicates([first], [second]) == []


@pytest.mark.parametrize(
    ("one", "two", "count"),
    [
        ("card", "card", 0),
        ("card", "crad", 1),
        ("card", "cart", 1),
        ("a card", "card", 2),
        ("ab", "", 2),
        ("abc", "xyz", 3),
    ],
)
def test_edits_are_counted(one: str, two: str, count: int) -> None:
    assert edits(one, two, 5) == edits(two, one, 5) == count
    assert edits(one, two, 0) == min(count, 1)


def test_rows_of_two_classes_are_no_near_copies(tmp_path: Path) -> None:
    table = rows(120)
    for number, (side, label) in enumerate(
        [("train", "billing"), ("test", "delivery"), ("train", "delivery"), ("test", "billing")]
    ):
        table[number] |= {"label": label, "split": side}
    for one in table[4:]:
        one["split"] = "train"
    for one, order in zip(table[:2], (48213, 99107), strict=True):
        one["text"] = f"what about my order {order} of last week"  # the number alone parts two classes
    table[2]["text"], table[3]["text"] = "the courier did not ring", "the courier did not rings"
    table[4] |= {"text": "what about my order 77777 of last week", "label": "delivery"}
    columns = {"text": "text", "label": "label", "id": "id"}
    task = sample(tmp_path, table, columns=columns, splits={"column": "split", "across_splits": "quarantine"})
    prepare(task, tmp_path / "out")
    aside = pd.read_parquet(tmp_path / "out" / "quarantine.parquet").set_index("row_id")["detail"]
    assert aside.to_dict() == {"R0004": "1.00 like row R0001 in test"}
    seen = audit(task, tmp_path / "out")
    assert (seen.rows["near_copy_in"] == "").all()


def test_texts_of_a_template_that_differ_in_a_word_of_the_data_are_no_copies() -> None:
    german = [
        f"ich {verb} {whose} {what} {when}"
        for verb in ("habe", "will", "kann", "suche")
        for whose in ("mein", "dein", "kein", "ein")
        for what in ("Konto", "Paket", "Buch", "Auto")
        for when in ("nicht", "heute", "hier", "gestern")
    ]
    chinese = [
        f"我想{verb}{place}的{what}票"
        for verb in "买退换查改"
        for place in ("北京", "南京", "东京", "上海", "海口")
        for what in ("火车", "汽车", "飞机", "船")
    ]
    for texts in (german, chinese):
        assert near_duplicates(texts[::2], texts[1::2]) == []
    assert german.index("ich habe mein Konto heute") in [
        pair.left for pair in near_duplicates(german, ["ich habe mein Kontto heute"])
    ]


# Keys inside of texts


def with_keys(write: Callable[[int, str], str], customers: int = 60) -> list[dict[str, str]]:
    return [{**row, "text": write(at % customers, row["text"])} for at, row in enumerate(rows(240))]


@pytest.mark.parametrize(
    ("write", "kind"),
    [
        (lambda at, text: f"customer {10382 + at}: {text}", "customer 9"),
        (lambda at, text: f"{text} (K-{382 + at})", "K9"),
        (lambda at, text: f"{text}, order number: {38200 + at}", "order 9"),
        (lambda at, text: f"{text} {100000 + at}", "numbers of 6 digits"),
        (lambda at, text: f"{text.split()[0]} (ID: {300 + at}) {text}", "id 9"),
        (lambda at, text: f"{text}, account no {10 + at}", "account 9"),
        (lambda at, text: f"{text}, DE89 3704 0044 0532 01{at:02d} 00", "numbers in groups"),
        (lambda at, text: f"{text}, order 17.382.{100 + at}", "numbers in groups"),
        (lambda at, text: f"#{100 + at} {text}", "#9"),
        (lambda at, text: f"{text} me{at}@mail.example", "mail address"),
        (lambda at, text: f"@user{at} {text}", "mention"),
    ],
)
def test_a_key_that_repeats_is_known_by_its_kind(write: Callable[[int, str], str], kind: str) -> None:
    texts = [row["text"] for row in with_keys(write)]
    (found,) = repeated_keys(texts, ["train"] * 120 + ["test"] * 120)
    assert found.kind == kind and found.across >= 40 and found.values >= found.across and found.rows >= 200


def test_a_key_that_repeats_is_a_warning_that_names_it_and_the_remedy(tmp_path: Path) -> None:
    table = with_keys(lambda at, text: f"customer {10382 + at}: {text}")
    task = sample(tmp_path, table, columns={"text": "text", "label": "label", "id": "id"})
    prepare(task, tmp_path / "out")
    seen = audit(task, tmp_path / "out")
    rule = next(rule for rule in rules(task) if rule.name == "no keys in texts on two sides")
    assert rule.severity == "warning" and "data.columns.group" in rule.remedy
    assert "customer 9" in rule.found(seen) and seen.keys[0].example in rule.found(seen)
    assert seen.overall["keys_on_two_sides"][0] >= 40
    assert "no keys in texts on two sides" not in [rule.name for rule in rules(sample(tmp_path, table))]


def test_numbers_that_are_no_keys_are_left_alone() -> None:
    said = "error {} in version 2{}.1, paid ${} on 2024-01-{:02d}"
    texts = [said.format(100 + at % 40, at % 30, 1000 + at % 50, 1 + at % 28) for at in range(400)]
    assert repeated_keys(texts, ["train", "test"] * 200) == []
    assert repeated_keys([row["text"] for row in rows(400)], ["train", "test"] * 200) == []
    counts = [f"for {100 + at % 80} people, {at % 90 + 10}kg of it on the {at % 21 + 10}th" for at in range(400)]
    assert repeated_keys(counts, ["train", "train", "test"] * 133 + ["test"]) == []
    assert keys_in("I paid 35.99 for 2 of 12 at 12:30 in 2025") == []


def test_production_rows_that_copy_training_rows_are_found_by_the_same_rule(tmp_path: Path) -> None:
    task = sample(tmp_path, rows(240))
    prepare(task, tmp_path / "out")
    train = pd.read_parquet(tmp_path / "out" / "train.parquet")["text"].tolist()
    rng = random.Random(1)  # noqa: S311
    assert len(near_duplicates(train[:50], [typo(text, rng) for text in train[:50]])) >= 50
