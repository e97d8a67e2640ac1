"""What is folded before two texts are compared: spelling that means the same, and what a template leaves open.

Unicode's compatibility forms (NFKC), letters that look like Latin ones, and then the parts in which two copies of one
message differ though they say the same: addresses of the web and of mail, mentions, phone numbers, and numbers of
orders, tickets and customers. Each of these becomes one sign that stands for its kind.

Look-alikes are letters of Cyrillic, Greek and Armenian that Unicode's confusables (UTS 39, Unicode Security Mechanisms)
map to one Latin letter. They are folded in a text that has Latin letters beside them, never in one that is written in
Cyrillic or Greek alone. Amounts of money, decimals, years, short numbers, and what an error, a version or a model is
called by, are no numbers of orders: they stay. So does everything in a text that says nothing besides: two product
codes, or two addresses of the web, are not one message.
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
# ASCII, since in scripts without blanks the next letter is that of the next word.
_URL = re.compile(r"(?<![a-z])(?:[a-z][a-z0-9+.-]*://|www\.)[!#-;=?-~]+", re.IGNORECASE | re.ASCII)
_MAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+", re.ASCII)
_MENTION = re.compile(r"(?<![\w@])@\w+")
# A number of seven digits or more in groups, as phones are written.
_PHONE = re.compile(
    r"(?<![\w$€£¥.,/])(?=(?:[^\d\n]{0,3}\d){7})(?:\+|\(\+?)?\d{1,5}\)?(?:(?: ?/ ?|[ .-])\(?\d{2,}\)?)+(?![\w%€])"
)
# A run of letters, digits and dashes with four digits or more, or digits behind a number sign.
_CODE = re.compile(
    r"(?<![\w$€£¥.,-])#?(?=(?:[A-Z_-]*\d){4})[\w-]+(?![\w€%]|[.,]\d)|(?<!\w)#\d+(?!\w)", re.IGNORECASE | re.ASCII
)
_YEAR = re.compile(r"(?:19|20)\d\d")
_MONEY = re.compile(
    r"\s?(?:[€$£¥%元円원₹₽]|(?:eur|euros?|usd|dollars?|gbp|pounds?|chf|francs?|franken|jpy|yen|cny|yuan|rmb|inr|rupees?|"
    r"kr|kronor|sek|nok|dkk|pln|z[łl]|rub|руб\w*)\b)",
    re.IGNORECASE,
)
_NAME_BEFORE = re.compile(r"\b(?:errors?|fault|code|version|v|model|fehler)[\s:#(=]{1,2}$", re.IGNORECASE)
LONG_NUMBER = 5  # digits of a number without letters or a sign: shorter ones are counts and prices more often
LEAST_LETTERS = 8  # beside what is folded, without which a text is not folded: it would say nothing


def folded(text: str) -> str:
    """The text with spelling and the parts named above folded; case and punctuation stay for others to fold."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
        if _STRANGE.search(text) and _LATIN.search(text):
            text = text.translate(_LOOK_ALIKES)
    open_parts = _without_parts(text)
    if open_parts is text or sum(map(str.isalpha, open_parts)) >= LEAST_LETTERS:
        return open_parts
    return text


def _without_parts(text: str) -> str:
    found = text
    if "://" in found or "www." in found or "WWW." in found:
        found = _URL.sub(f" {ADDRESS} ", found)
    if "@" in found:
        found = _MENTION.sub(f" {MENTION} ", _MAIL.sub(f" {MAIL} ", found))
    return _CODE.sub(_number, _PHONE.sub(f" {NUMBER} ", found)) if _HAS_NUMBER.search(found) else found


_HAS_NUMBER = re.compile(r"\d[\w()/+ .-]*\d|#\d")


def _number(found: re.Match[str]) -> str:
    """The sign of a number, or the number itself where it does not name an order."""
    number, before = found[0], found.string[max(found.start() - 12, 0) : found.start()]
    if _YEAR.fullmatch(number) or (number.isdigit() and len(number) < LONG_NUMBER) or _NAME_BEFORE.search(before):
        return number
    return number if number.isdigit() and _MONEY.match(found.string, found.end()) else f" {NUMBER} "
