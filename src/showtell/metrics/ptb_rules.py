r"""The rules of the Stanford PTB tokenizer 3.4.1 as one table.

At each position every rule is tried, and **the longest match wins**; of equally long ones, the first in the table. The
text that a rule only looks ahead to (`lookahead`) counts towards the length, and is then tokenized on its own. So
`it's` is split: `it` before `'s` matches four characters and no rule matches more. `o'clock` is not split.

The rules restate the Java program in the terms of Python's `re`. One rule stands for several where the program
distinguishes tokens that are dropped later (left and right quotes, a full stop that also ends an abbreviation). Its
oddities are kept: scores are comparable only if everybody tokenizes alike.

Rejected: the finite automaton inside the Java class file. It would be exact by construction, but unreadable, and its
licence (GPL) differs from ours.
"""

import re
from collections.abc import Callable
from typing import Final, NamedTuple

from showtell.metrics.ptb_characters import (
    ALPHA,
    ANY_SPACE,
    APOSTROPHE,
    APOSTROPHE_INSIDE,
    DIGIT,
    LETTER,
    SPACE,
    SYMBOL,
)


class Rule(NamedTuple):
    pattern: str
    """Regular expression of the token."""
    lookahead: str = ""
    """Regular expression of the text that must follow the token."""
    normalize: Callable[[str], str] = str
    """The token as it is output; an empty string drops it."""


def any_of(alternatives: str) -> str:
    return "|".join(alternatives.split())


def none_of(characters: str) -> str:
    """A character that is neither these nor white space."""
    return rf"[^ \t\n\f\r{characters}]"


def drop(_: str) -> str:
    return ""


def without_soft_hyphens(word: str) -> str:
    return word.replace("\u00ad", "") or "-"


def with_no_break_spaces(word: str) -> str:
    """A space inside a token becomes a no-break space, so that tokens joined by spaces can be split again."""
    return word.replace(" ", "\u00a0")


def with_named_brackets(word: str) -> str:
    for bracket, name in _BRACKETS.items():
        word = word.replace(bracket, name)
    return word


def as_telephone_number(word: str) -> str:
    return with_named_brackets(with_no_break_spaces(word))


def as_emoticon(word: str) -> str:
    return word.replace("(", "-LRB-").replace(")", "-RRB-")


def with_plain_ampersands(word: str) -> str:
    return re.sub("(?i:&amp;)", "&", word)


def to_ascii(word: str) -> str:
    """Quotes as in TeX, currency as in the Penn Treebank: no euro, and `#` for the pound."""
    for symbols, plain in _ASCII.items():
        word = re.sub(symbols, plain, word)
    return word


_ASCII: Final = {
    "[\u0091‘‛‹]": "`",
    "[\u0092’›]|&apos;": "'",
    "[\u0093“«]": "``",
    '[\u0094”»]|"|&quot;': "''",
    "[\u0080¤₠€]": "$",
    "£": "#",
    "¢": "cents",
    "¼": "1/4",
    "½": "1/2",
    "¾": "3/4",
    "⅓": "1/3",
    "⅔": "2/3",
}
_BRACKETS: Final = {"(": "-LRB-", ")": "-RRB-", "[": "-LSB-", "]": "-RSB-", "{": "-LCB-", "}": "-RCB-"}

ALNUM: Final = f"(?:{ALPHA}|{DIGIT})"
WORD: Final = rf"{LETTER}(?:{LETTER}|{DIGIT})*(?:[.!?]{LETTER}(?:{LETTER}|{DIGIT})*)*"
"""Also `end.The`, with a missing space."""
CLITIC: Final = f"{APOSTROPHE}(?:[msdMSD]|(?i:re|ve|ll))"
NEGATION: Final = f"(?i:n){APOSTROPHE_INSIDE}(?i:t)"

NUMBER: Final = f"[-+]?(?:{DIGIT}+(?:[.:,\u00ad\u066b\u066c]{DIGIT}+)*|(?:[.:,\u00ad\u066b\u066c]{DIGIT}+)+)"
FRACTION: Final = rf"(?:{DIGIT}{{1,4}}[- \u00A0])?{DIGIT}{{1,4}}(?:\\?/|⁄){DIGIT}{{1,4}}"
_SEPARATOR: Final = r"[- \u00A0]"
TELEPHONE_NUMBER: Final = (
    rf"(?:\([0-9]{{2,3}}\)[ \u00A0]?|\+{{0,2}}(?:[0-9]{{2,4}}{_SEPARATOR}){{1,2}})[0-9]{{3,4}}{_SEPARATOR}?[0-9]{{3,5}}"
    r"|(?:\+{0,2}[0-9]{2,4}\.)?[0-9]{2,4}\.[0-9]{3,4}\.[0-9]{3,5}"
)

_HYPHEN: Final = r"[-_\u058A\u2010\u2011]"
_ELIDED: Final = f"(?:[dDoOlL]{APOSTROPHE_INSIDE}{ALNUM})?{ALNUM}+"
COMPOUND: Final = f"{_ELIDED}(?:{_HYPHEN}{_ELIDED})*"
"""As in `snow-covered`, `d'Artagnan-like`, `4x4`."""
ACRONYM: Final = r"(?:(?i:(?:canada|eu|japan|korean|non|sino)-u\.s|u\.s\.-u\.(?:k|s\.s\.r))|[A-Za-z](?:\.[A-Za-z])+)"
HYPHENATED: Final = rf"[A-Za-z0-9][A-Za-z0-9.,\u00AD]*(?:-(?:{ACRONYM}\.|[A-Za-z0-9\u00AD]+))+"
SLASHED: Final = r"[A-Za-z0-9]+(?:-[A-Za-z]+){0,2}(?:\\?/[A-Za-z0-9]+(?:-[A-Za-z]+){0,2}){1,2}"
INITIALS: Final = "[A-Z]+(?:(?:(?i:&amp;)|[+&])[A-Z]+)+"

_LABEL: Final = none_of(r'!"(),.<>?{|}')
# The range from comma to underscore is a bug of the original: it excludes digits and capitals.
_BARE_LABEL: Final = none_of(r"""!"$'(),-_`{|}""")
HOST: Final = rf"(?:(?i:www\.)(?:{_LABEL}+\.)+[a-zA-Z]{{2,4}}|(?:{_BARE_LABEL}+\.)+(?i:com|net|org|edu))"
PATH: Final = none_of('"()<>|') + "+" + none_of(r'!"(),\-.<>?{|}')
_MAIL_LABEL: Final = none_of(r'"().<>{|}\u00A0')
MAIL: Final = rf"[a-zA-Z0-9](?:{_MAIL_LABEL}|\.)*@(?:{_MAIL_LABEL}+\.)*{_MAIL_LABEL}+"
FILE_ENDING: Final = any_of(
    "bat bmp c cgi class cpp dll docx? exe gif gz html? h jar java jpe?g mov mp3 pdf php pl png ppt ps py sql tar txt"
    " wav xml x zip"
)
_NAME: Final = r"[A-Za-z][A-Za-z0-9_:.\-]*"
_ATTRIBUTE: Final = rf"{_NAME}(?: *= *(?:'[^']*'|\"[^\"]*\"))?"
TAG: Final = rf"<(?:[!?][A-Za-z\-][^>\r\n]*|{_NAME}(?: +{_ATTRIBUTE})* */?|/{_NAME}) *>"

ABBREVIATION: Final = any_of(
    r"al ala apr ariz assn aug bancorp bhd bldg blvd bros calif colo conn corp cos? ct dak dec (?:ed|ph)\.d esq est"
    " etc ext feb fla fri ga inc ind intl jan jr jul jun kans? ky ltd mar md mich minn mo mon mont neb nev nov oct"
    " okla penn plc pp?t(?-i:[ey])s? rd rt seq sept? sq sr sys tel tenn thu(?:rs)? tues? univ va vt wed wisc? wyo"
)
TITLE: Final = any_of(
    r"a\.k\.a adj adm adv alex assoc asst attys? ave brig capt cf cie co?mdr col cpl dept det drs? elec ens ft gen"
    " govs? hon insp invt jos lieut lt maj messrs m[ft]g mlle mme mrs? ms msgr mt natl pfc ph pres profs? pvt reps?"
    " rev sens? sfc sgt spc ste? supts? treas vs wm"
)
STATE: Final = any_of("A(?i:rk|z) D(?i:el) I(?i:ll) L(?i:a) M(?i:[ai]ss) O(?i:re) P(?i:a) T(?i:ex) W(?i:ash)")
"""American states, with a capital letter only: in small letters they are, or resemble, other words."""
SENTENCE_START: Final = any_of(
    "A(?i:bout|ccording|dditionally|fter|n|s|t)? B(?i:ut) E(?i:arlier) H(?i:e|er|ere|owever) I(?i:f|n|t) L(?i:ast)"
    r" M(?i:any|ore|r\.|s\.) N(?i:ow) O(?i:nce|ne|ther|ur) S(?i:he|ince|o|ome|uch)"
    " T(?i:hat|he|heir|hen|here|hese|hey|his) W(?i:e|hat|hen|hile) Y(?i:et|ou)"
)
INNER_PUNCTUATION: Final = r"[,;:\u3001]"
"""Punctuation inside a sentence: a full stop before it belongs to the word."""

RULES: Final = (
    # Two words written as one.
    Rule("(?i:can)", lookahead="(?i:not)"),
    Rule("(?i:'t)", lookahead="(?i:is|was)"),
    Rule("(?i:gon|wan)", lookahead="(?i:na)"),
    Rule("(?i:got)", lookahead="(?i:ta)"),
    Rule("(?i:gim|lem)", lookahead="(?i:me)"),
    # Mark-up.
    Rule(TAG, normalize=with_no_break_spaces),
    Rule("&(?i:md|mdash|ndash);|[\u0096\u0097–—―]", normalize=lambda _: "--"),
    Rule("(?i:&amp;)", normalize=with_plain_ampersands),
    Rule("&(?i:ht|tl|ur|lr|qc|ql|qr|odq|cdq|#[0-9]+);"),
    # Words, also before a contraction. Before `n't` a word must not end in n, so that `don't` is `do n't`.
    Rule(WORD, lookahead=CLITIC, normalize=without_soft_hyphens),
    Rule(r"[A-Za-z\u00AD]*[A-MO-Za-mo-z]\u00AD*", lookahead=NEGATION, normalize=without_soft_hyphens),
    Rule(WORD, normalize=without_soft_hyphens),
    # Apostrophes that belong to a word: rock 'n' roll, '90s, c'mon, M'Baye; between a vowel and a vowel (Hawai'i).
    Rule(f"(?i:{APOSTROPHE}n{APOSTROPHE}?|(?:[djl]|dunkin|ol|somethin){APOSTROPHE})"),
    Rule(f"(?i:{APOSTROPHE}(?:cause|em|till?|[2-9]0s))"),
    Rule(rf"(?i:c'mon|cont'd\.?|e'er|ev'ry|li'l|nat'l|nor'easter|o{APOSTROPHE_INSIDE}o|s'mores)"),
    Rule(f"[A-HJ-XZn]{APOSTROPHE_INSIDE}{ALPHA}{{2,}}"),
    Rule(f"{ALPHA}+[aeiouyAEIOUY]{APOSTROPHE_INSIDE}[aeiouA-Z]{ALPHA}*"),
    Rule(f"(?i:y){APOSTROPHE}", lookahead=ALPHA),
    # Addresses, tags of social media, a programming language.
    Rule(f"(?i:https?)://{PATH}"),
    Rule(HOST),
    Rule(f"{HOST}/{PATH}"),
    Rule(f"(?:<|(?i:&lt;))?{MAIL}(?:>|(?i:&gt;))?"),
    Rule(rf"@[a-zA-Z_][a-zA-Z_0-9]*|\#{LETTER}+"),
    Rule("(?i:[cf]#|c[+][+])"),
    # The contractions themselves.
    Rule(CLITIC, lookahead="[^A-Za-z]", normalize=to_ascii),
    Rule(NEGATION, normalize=to_ascii),
    # Dates, numbers, telephone numbers, currency.
    Rule(f"{DIGIT}{{1,2}}[-/]{DIGIT}{{1,2}}[-/]{DIGIT}{{2,4}}"),
    Rule(NUMBER, normalize=without_soft_hyphens),
    Rule("[⁺⁻₊₋]?(?:[⁰¹²³⁴-⁹]+|[₀-₉]+)"),
    Rule(FRACTION, normalize=with_no_break_spaces),
    Rule("[¼½¾⅓-⅞]", normalize=to_ascii),
    # Special cases of the Penn Treebank.
    Rule(
        rf"(?i:-[lr][rcs]b-|c\.d\.s|pro-|anti-|s(?:&amp;|&)(?:p-500|ls)|cap{APOSTROPHE}n|c{APOSTROPHE}est)",
        normalize=with_plain_ampersands,
    ),
    Rule(SLASHED),
    Rule(r"[A-Z]*\$"),
    Rule("[¢£¤¥\u0080₠₤€؋฿￠￡￥￦]", normalize=to_ascii),
    # Abbreviations keep their full stop, but single letters not before the start of a sentence, and `No.` before a
    # number only.
    Rule("[A-Za-z]", lookahead=rf"\.{SPACE}+(?:{SENTENCE_START}){ANY_SPACE}"),
    Rule(r"(?i:art|bldg|ca|figs?|nos?|op|pp|prop)\.", lookahead=f"{ANY_SPACE}?{DIGIT}"),
    Rule(r"(?i:pt[ey])\.", lookahead=f"{SPACE}(?i:lim|ltd)"),
    Rule(rf"(?:(?i:{ABBREVIATION})|{STATE})\.", lookahead=".."),
    Rule(rf"(?:{ACRONYM}|(?i:{ABBREVIATION}|{TITLE})|{STATE}|[A-Za-z])\."),
    Rule(ACRONYM, lookahead=ANY_SPACE),
    Rule(f"{APOSTROPHE}[0-9][0-9]", lookahead=ANY_SPACE),
    Rule(
        rf"(?:{LETTER}|{DIGIT})+(?:\.(?:{LETTER}|{DIGIT})+)*\.(?i:{FILE_ENDING})", lookahead=f"(?:{ANY_SPACE}|[.?!,])"
    ),
    Rule(rf"{WORD}\.", lookahead=INNER_PUNCTUATION, normalize=without_soft_hyphens),
    Rule(TELEPHONE_NUMBER, normalize=as_telephone_number),
    # Emoticons, brackets, punctuation.
    Rule("<|(?i:&lt;)", normalize=lambda _: "<"),
    Rule(">|(?i:&gt;)", normalize=lambda _: ">"),
    Rule(r"[<>]?[:;=][-o*']?[()DPdpO\\{@|\[\]]", lookahead="[^A-Za-z0-9]", normalize=as_emoticon),
    Rule(r"[-^x=~<>']_[-^x=~<>']|\([-^x=~<>'][_.]?[-^x=~<>']\)|\([\^x=~<>']-[\^x=~<>'`]\)", normalize=as_emoticon),
    Rule(r"[\^x=~<>]\.\[\^(?i:x)=[^<]*<>\]", normalize=as_emoticon),
    Rule(r"[()\[\]{}]", normalize=with_named_brackets),
    Rule("-+", normalize=lambda hyphens: "--" if len(hyphens) in (3, 4) else hyphens),
    Rule("\\.{3,5}|(?:\\.[ \u00a0]){2,4}\\.|[\u0085…]", normalize=lambda _: "..."),
    Rule(r"@+|\#+|_+|\*+|(?:\\\*){1,3}|=|/|[?!]+"),
    Rule(f"{INNER_PUNCTUATION}|[.¡¿\u037e։؟۔\u0700-\u0702\u07fa。]"),
    # Compounds.
    Rule(rf"{HYPHENATED}\.", lookahead=INNER_PUNCTUATION, normalize=without_soft_hyphens),
    Rule(HYPHENATED, normalize=without_soft_hyphens),
    Rule(rf"{COMPOUND}\.", lookahead=INNER_PUNCTUATION),
    Rule(COMPOUND),
    Rule(rf"{INITIALS}\.", lookahead=INNER_PUNCTUATION, normalize=with_plain_ampersands),
    Rule(INITIALS, normalize=with_plain_ampersands),
    # Quotes, after all other rules that start with an apostrophe: `'very` is not `'ve`.
    Rule('"|(?i:&quot;)', normalize=to_ascii),
    Rule("'", lookahead=r"[A-Za-z][^ \t\n\r\u00A0]"),
    Rule(CLITIC, normalize=to_ascii),
    Rule(f"[`‘-‟\u0091-\u0094‹›«»]{{1,2}}|''|{APOSTROPHE}", normalize=to_ascii),
    Rule("<<|>>"),
    Rule(SYMBOL),
    # Space between words, and characters unknown to the tokenizer.
    Rule(f"{SPACE}+|{ANY_SPACE}|(?i:&nbsp;)", normalize=drop),
    Rule(".", normalize=drop),
)
