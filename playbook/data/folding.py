"""What is folded before two texts are compared: spelling that means the same, and what a template leaves open.

Unicode's compatibility forms (NFKC), letters that look like Latin ones, and then the parts in which two copies of one
message differ though they say the same: addresses of the web and of mail, mentions, phone numbers, and numbers of
orders, tickets and customers. Each of these becomes one sign that stands for its kind.

Look-alikes are letters of Cyrillic, Greek and Armenian that Unicode's confusables (UTS 39, Unicode Security Mechanisms)
map to one Latin letter. They are folded in a text that has Latin letters beside them, never in one that is written in
Cyrillic or Greek alone. Amounts of money, decimals and years are no numbers of orders: they stay.
"""

from __future__ import annotations

import re
import unicodedata

ADDRESS, MAIL, MENTION, NUMBER = "↗", "⌂", "☺", "№"  # symbols, which comparing leaves alone

_PAIRS = (
    ("асеорхуіѕјһкмтвԁԛԝӏոѵ", "aceopxyisjhkmtbdqwlnv"),
    ("АВЕКМНОРСТУХІЅЈԌԚԜӀѴ", "ABEKMHOPCTYXISJGQWIV"),
    ("αορτυικνχγηεωβ", "aoptuikvxynewb"),
    ("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "ABEZHIKMNOPTYX"),
    ("ıɡɑ", "iga"),
)
_LOOK_ALIKES = {ord(a): b for strange, plain in _PAIRS for a, b in zip(strange, plain, strict=True)}
_STRANGE = re.compile(f"[{''.join(map(chr, _LOOK_ALIKES))}]")
_LATIN = re.compile("[A-Za-z]")
_URL = re.compile(r"(?:\b[a-z][a-z0-9+.-]*://|\bwww\.)[^\s<>\"]+", re.IGNORECASE)
_MAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_MENTION = re.compile(r"(?<![\w@])@\w+")
# A number of seven digits or more in groups, as phones are written.
_PHONE = re.compile(
    r"(?<![\w$€£¥.,/])(?=(?:[^\d\n]{0,2}\d){7})(?:\+|\(\+?)?\d{1,5}\)?(?:[ /.-]\(?\d{2,}\)?)+(?![\w%€])"
)
# A run of letters, digits and dashes with four digits or more, or digits behind a number sign.
_CODE = re.compile(r"(?<![\w$€£¥.,-])#?(?=(?:[A-Za-z_-]*\d){4})[\w-]+(?![\w€%]|[.,]\d)|(?<!\w)#\d+(?!\w)")
_YEAR = re.compile(r"(?:19|20)\d\d")


def folded(text: str) -> str:
    """The text with spelling and the parts named above folded; case and punctuation stay for others to fold."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
        if _STRANGE.search(text) and _LATIN.search(text):
            text = text.translate(_LOOK_ALIKES)
    if "://" in text or "www." in text or "WWW." in text:
        text = _URL.sub(f" {ADDRESS} ", text)
    if "@" in text:
        text = _MENTION.sub(f" {MENTION} ", _MAIL.sub(f" {MAIL} ", text))
    return _without_numbers(text) if _HAS_NUMBER.search(text) else text


_HAS_NUMBER = re.compile(r"\d[\w()/+ .-]*\d|#\d")


def _without_numbers(text: str) -> str:
    text = _PHONE.sub(f" {NUMBER} ", text)
    return _CODE.sub(lambda found: found[0] if _YEAR.fullmatch(found[0]) else f" {NUMBER} ", text)
