"""What is folded before two texts are compared: spelling that means the same, and what a template leaves open.

What HTML writes otherwise (entities, tags of layout), Unicode's compatibility forms (NFKC), letters that look alike,
and then the parts in which two copies of one message differ though they say the same: addresses of the web and of mail,
mentions, phone numbers, and numbers of orders, tickets, accounts and customers. Each of these becomes one sign that
stands for its kind.

Look-alikes are letters of Cyrillic, Greek and Armenian that Unicode's confusables (UTS 39, Unicode Security Mechanisms)
map to one Latin letter. In a text of mostly Latin letters they become Latin; in a word of a Cyrillic or Greek text that
has Latin letters in it, those become what the rest of the text is written in. Amounts of money, decimals, years, short
numbers, and what an error, a version or a norm is called by, are not order numbers: they stay. So does everything in
a text that says nothing besides: two product codes, or two addresses of the web, are not one message.
"""

from __future__ import annotations

import html
import re
import unicodedata

ADDRESS, MAIL, MENTION, NUMBER = "↗", "⌂", "☺", "№"  # symbols, which comparing leaves alone
SIGNS = frozenset((ADDRESS, MAIL, MENTION, NUMBER))

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
_SCRIPTS = (re.compile("[\u0400-\u052f]"), re.compile("[\u0370-\u03ff]"))  # Cyrillic, Greek
_BACK = tuple(
    {ord(plain): chr(strange) for strange, plain in _LOOK_ALIKES.items() if script.match(chr(strange))}
    for script in _SCRIPTS
)
_WORD = re.compile(r"(\W+)")
_TAG = re.compile(
    r"</?(?:a|b|i|u|p|br|hr|em|strong|small|span|div|font|ul|ol|li|h[1-6]|table|tbody|tr|td|th|pre|code|blockquote)"
    r"(?:\s[^<>]*)?/?>",
    re.IGNORECASE,
)
# ASCII, since in scripts without blanks the next letter is that of the next word.
_URL = re.compile(r"(?<![a-z])(?:[a-z][a-z0-9+.-]*://|www\.)[!#-;=?-~]+", re.IGNORECASE | re.ASCII)
# "bit.ly/3xYz": a name with a dot, and a path behind it.
_BARE_URL = re.compile(r"(?<![\w@./-])(?:[a-z0-9-]+\.)+[a-z]{2,}/[!#-;=?-~]+", re.IGNORECASE | re.ASCII)
_MAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+", re.ASCII)
_MENTION = re.compile(r"(?<![\w@])@\w+")
# A number of seven digits or more in groups, as phones are written.
_PHONE = re.compile(
    r"(?<![\w$€£¥.,/])(?=(?:[^\d\n]{0,3}\d){7})(?:\+|\(\+?)?\d{1,5}\)?(?:(?: ?/ ?|[ .-])\(?\d{2,}\)?)+(?![\w%€])"
)
_ACCOUNT = re.compile(r"(?<!\w)[A-Z]{2}\d{2}(?: ?[A-Z\d]{4}){3,7}(?: ?[A-Z\d]{1,3})?(?!\w)", re.ASCII)  # an IBAN
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
_NAME_BEFORE = re.compile(
    r"\b(?:errors?|fault|code|version|v|model|fehler|iso|din|rfc|zip|plz)[\s:#(=]{1,2}$", re.IGNORECASE
)
_ORDER_BEFORE = re.compile(
    r"\b(?:orders?|tickets?|invoices?|bookings?|cases?|customers?|contracts?|claims?|shipments?|parcels?|ref|reference|"
    r"bestellung|auftrag|rechnung|vertrag|kunde|sendung)(?:[ -]?(?:no|nr|number|nummer|id))?[\s.:#]{1,3}$",
    re.IGNORECASE,
)
_BEFORE = 24  # characters before a number that say what it names
LONG_NUMBER = 5  # digits of a number without letters or a sign: shorter ones are counts and prices more often
LEAST_LETTERS = 8  # beside what is folded, without which a text is not folded: it would say nothing


def folded(text: str) -> str:
    """The text with spelling and the parts named above folded; case and punctuation stay for others to fold."""
    text = _spelled(text)
    open_parts = _without_parts(text)
    if open_parts is text or sum(map(str.isalpha, open_parts)) >= LEAST_LETTERS:
        return open_parts
    return text


def _spelled(text: str) -> str:
    """The text as it is meant: HTML read, compatibility forms and look-alikes folded."""
    if "&" in text:
        text = html.unescape(html.unescape(text))  # what was escaped twice is found, too
    if "<" in text:
        text = _TAG.sub(" ", text)
    if text.isascii():
        return text
    text = unicodedata.normalize("NFKC", text)
    return _in_one_script(text) if _STRANGE.search(text) and _LATIN.search(text) else text


def _in_one_script(text: str) -> str:
    latin = len(_LATIN.findall(text))
    for script, back in zip(_SCRIPTS, _BACK, strict=True):
        if len(script.findall(text)) > latin:
            words = _WORD.split(text)
            return "".join(word.translate(back) if script.search(word) else word for word in words)
    return text.translate(_LOOK_ALIKES)


def _without_parts(text: str) -> str:
    found = text
    if "://" in found or "www." in found or "WWW." in found:
        found = _URL.sub(f" {ADDRESS} ", found)
    if "@" in found:
        found = _MENTION.sub(f" {MENTION} ", _MAIL.sub(f" {MAIL} ", found))
    if "/" in found and "." in found:
        found = _BARE_URL.sub(f" {ADDRESS} ", found)
    if not _HAS_NUMBER.search(found):
        return found
    found = _PHONE.sub(f" {NUMBER} ", _ACCOUNT.sub(f" {NUMBER} ", found))
    return _CODE.sub(_number, found)


_HAS_NUMBER = re.compile(r"\d[\w()/+ .-]*\d|#\d")


def _number(found: re.Match[str]) -> str:
    """The sign of a number, or the number itself where it does not name an order."""
    number, before = found[0], found.string[max(found.start() - _BEFORE, 0) : found.start()]
    if _YEAR.fullmatch(number) or _NAME_BEFORE.search(before):
        return number
    if number.isdigit() and len(number) < LONG_NUMBER and not _ORDER_BEFORE.search(before):
        return number
    return number if number.isdigit() and _MONEY.match(found.string, found.end()) else f" {NUMBER} "
