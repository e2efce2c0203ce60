r"""How the Stanford PTB tokenizer 3.4.1 cuts text into words: one table of rules, and the reasons for them.

At each place in the text every rule is tried, and **the longest match wins**; of equally long ones, the first in the
table. What a rule only looks ahead to (`before`) counts towards its length, and is then read again as text of its own.
So `it's` is cut, because `it` before `'s` is four characters long and nothing else is longer, and `o'clock` is not.

The rules restate what the Java program does in the terms of Python's `re`. Where it tells apart what is thrown away
afterwards (left and right quotes, a full stop that also ends an abbreviation), one rule stands for several. Its
oddities are kept: scores can be compared only when everybody cuts the same way.

Rejected: the finite automaton inside the Java class file. It would be exact by construction, but nobody could read it,
and its licence (GPL) is not ours.
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
    word: str
    """Regular expression of what becomes a word."""
    before: str = ""
    """Regular expression of the text that must follow, without being part of the word."""
    write: Callable[[str], str] = str
    """How the word is written in the output; an empty string is no word."""


def one_of(alternatives: str) -> str:
    return "|".join(alternatives.split())


def none_of(characters: str) -> str:
    """A character that is neither these nor white space."""
    return rf"[^ \t\n\f\r{characters}]"


def nothing(_: str) -> str:
    return ""


def without_soft_hyphens(word: str) -> str:
    return word.replace("\u00ad", "") or "-"


def with_fixed_spaces(word: str) -> str:
    """A space inside a word becomes a no-break space, so that words joined by spaces can be told apart again."""
    return word.replace(" ", "\u00a0")


def with_named_brackets(word: str) -> str:
    for bracket, name in _BRACKETS.items():
        word = word.replace(bracket, name)
    return word


def as_telephone(word: str) -> str:
    return with_named_brackets(with_fixed_spaces(word))


def as_face(word: str) -> str:
    return word.replace("(", "-LRB-").replace(")", "-RRB-")


def with_plain_ampersands(word: str) -> str:
    return re.sub("(?i:&amp;)", "&", word)


def in_ascii(word: str) -> str:
    """Quotes as TeX has them and money as the Penn Treebank had it: no euro, and `#` for the pound."""
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
"""Also `end.The`, where a space was forgotten."""
CLITIC: Final = f"{APOSTROPHE}(?:[msdMSD]|(?i:re|ve|ll))"
NOT: Final = f"(?i:n){APOSTROPHE_INSIDE}(?i:t)"

NUMBER: Final = f"[-+]?(?:{DIGIT}+(?:[.:,\u00ad\u066b\u066c]{DIGIT}+)*|(?:[.:,\u00ad\u066b\u066c]{DIGIT}+)+)"
FRACTION: Final = rf"(?:{DIGIT}{{1,4}}[- \u00A0])?{DIGIT}{{1,4}}(?:\\?/|⁄){DIGIT}{{1,4}}"
_GAP: Final = r"[- \u00A0]"
TELEPHONE: Final = (
    rf"(?:\([0-9]{{2,3}}\)[ \u00A0]?|\+{{0,2}}(?:[0-9]{{2,4}}{_GAP}){{1,2}})[0-9]{{3,4}}{_GAP}?[0-9]{{3,5}}"
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
# From the comma to the underscore: a slip of the original that shuts digits and capitals out.
_BARE_LABEL: Final = none_of(r"""!"$'(),-_`{|}""")
HOST: Final = rf"(?:(?i:www\.)(?:{_LABEL}+\.)+[a-zA-Z]{{2,4}}|(?:{_BARE_LABEL}+\.)+(?i:com|net|org|edu))"
PATH: Final = none_of('"()<>|') + "+" + none_of(r'!"(),\-.<>?{|}')
_MAIL_LABEL: Final = none_of(r'"().<>{|}\u00A0')
MAIL: Final = rf"[a-zA-Z0-9](?:{_MAIL_LABEL}|\.)*@(?:{_MAIL_LABEL}+\.)*{_MAIL_LABEL}+"
FILE_ENDING: Final = one_of(
    "bat bmp c cgi class cpp dll docx? exe gif gz html? h jar java jpe?g mov mp3 pdf php pl png ppt ps py sql tar txt"
    " wav xml x zip"
)
_NAME: Final = r"[A-Za-z][A-Za-z0-9_:.\-]*"
_ATTRIBUTE: Final = rf"{_NAME}(?: *= *(?:'[^']*'|\"[^\"]*\"))?"
TAG: Final = rf"<(?:[!?][A-Za-z\-][^>\r\n]*|{_NAME}(?: +{_ATTRIBUTE})* */?|/{_NAME}) *>"

ABBREVIATION: Final = one_of(
    r"al ala apr ariz assn aug bancorp bhd bldg blvd bros calif colo conn corp cos? ct dak dec (?:ed|ph)\.d esq est"
    " etc ext feb fla fri ga inc ind intl jan jr jul jun kans? ky ltd mar md mich minn mo mon mont neb nev nov oct"
    " okla penn plc pp?t(?-i:[ey])s? rd rt seq sept? sq sr sys tel tenn thu(?:rs)? tues? univ va vt wed wisc? wyo"
)
TITLE: Final = one_of(
    r"a\.k\.a adj adm adv alex assoc asst attys? ave brig capt cf cie co?mdr col cpl dept det drs? elec ens ft gen"
    " govs? hon insp invt jos lieut lt maj messrs m[ft]g mlle mme mrs? ms msgr mt natl pfc ph pres profs? pvt reps?"
    " rev sens? sfc sgt spc ste? supts? treas vs wm"
)
STATE: Final = one_of("A(?i:rk|z) D(?i:el) I(?i:ll) L(?i:a) M(?i:[ai]ss) O(?i:re) P(?i:a) T(?i:ex) W(?i:ash)")
"""American states that begin with a capital letter, because they would be, or nearly be, words of another meaning."""
SENTENCE_START: Final = one_of(
    "A(?i:bout|ccording|dditionally|fter|n|s|t)? B(?i:ut) E(?i:arlier) H(?i:e|er|ere|owever) I(?i:f|n|t) L(?i:ast)"
    r" M(?i:any|ore|r\.|s\.) N(?i:ow) O(?i:nce|ne|ther|ur) S(?i:he|ince|o|ome|uch)"
    " T(?i:hat|he|heir|hen|here|hese|hey|his) W(?i:e|hat|hen|hile) Y(?i:et|ou)"
)
INNER_MARK: Final = r"[,;:\u3001]"
"""Punctuation after which the sentence goes on, so that a full stop before it belongs to the word."""

RULES: Final = (
    # Two words written as one.
    Rule("(?i:can)", before="(?i:not)"),
    Rule("(?i:'t)", before="(?i:is|was)"),
    Rule("(?i:gon|wan)", before="(?i:na)"),
    Rule("(?i:got)", before="(?i:ta)"),
    Rule("(?i:gim|lem)", before="(?i:me)"),
    # Remains of mark-up.
    Rule(TAG, write=with_fixed_spaces),
    Rule("&(?i:md|mdash|ndash);|[\u0096\u0097–—―]", write=lambda _: "--"),
    Rule("(?i:&amp;)", write=with_plain_ampersands),
    Rule("&(?i:ht|tl|ur|lr|qc|ql|qr|odq|cdq|#[0-9]+);"),
    # Words, and words that a contraction follows. Before `n't` a word has no n at its end, so that `don't` is `do n't`.
    Rule(WORD, before=CLITIC, write=without_soft_hyphens),
    Rule(r"[A-Za-z\u00AD]*[A-MO-Za-mo-z]\u00AD*", before=NOT, write=without_soft_hyphens),
    Rule(WORD, write=without_soft_hyphens),
    # Apostrophes that belong to a word: rock 'n' roll, '90s, c'mon, M'Baye; between a vowel and a vowel (Hawai'i).
    Rule(f"(?i:{APOSTROPHE}n{APOSTROPHE}?|(?:[djl]|dunkin|ol|somethin){APOSTROPHE})"),
    Rule(f"(?i:{APOSTROPHE}(?:cause|em|till?|[2-9]0s))"),
    Rule(rf"(?i:c'mon|cont'd\.?|e'er|ev'ry|li'l|nat'l|nor'easter|o{APOSTROPHE_INSIDE}o|s'mores)"),
    Rule(f"[A-HJ-XZn]{APOSTROPHE_INSIDE}{ALPHA}{{2,}}"),
    Rule(f"{ALPHA}+[aeiouyAEIOUY]{APOSTROPHE_INSIDE}[aeiouA-Z]{ALPHA}*"),
    Rule(f"(?i:y){APOSTROPHE}", before=ALPHA),
    # Addresses, tags of social media, a programming language.
    Rule(f"(?i:https?)://{PATH}"),
    Rule(HOST),
    Rule(f"{HOST}/{PATH}"),
    Rule(f"(?:<|(?i:&lt;))?{MAIL}(?:>|(?i:&gt;))?"),
    Rule(rf"@[a-zA-Z_][a-zA-Z_0-9]*|\#{LETTER}+"),
    Rule("(?i:[cf]#|c[+][+])"),
    # The contractions themselves.
    Rule(CLITIC, before="[^A-Za-z]", write=in_ascii),
    Rule(NOT, write=in_ascii),
    # Dates, numbers, telephones, money.
    Rule(f"{DIGIT}{{1,2}}[-/]{DIGIT}{{1,2}}[-/]{DIGIT}{{2,4}}"),
    Rule(NUMBER, write=without_soft_hyphens),
    Rule("[⁺⁻₊₋]?(?:[⁰¹²³⁴-⁹]+|[₀-₉]+)"),
    Rule(FRACTION, write=with_fixed_spaces),
    Rule("[¼½¾⅓-⅞]", write=in_ascii),
    # Curiosities of the Penn Treebank.
    Rule(
        rf"(?i:-[lr][rcs]b-|c\.d\.s|pro-|anti-|s(?:&amp;|&)(?:p-500|ls)|cap{APOSTROPHE}n|c{APOSTROPHE}est)",
        write=with_plain_ampersands,
    ),
    Rule(SLASHED),
    Rule(r"[A-Z]*\$"),
    Rule("[¢£¤¥\u0080₠₤€؋฿￠￡￥￦]", write=in_ascii),
    # Abbreviations keep their full stop, but single letters not before the start of a sentence, and `No.` before a
    # number only.
    Rule("[A-Za-z]", before=rf"\.{SPACE}+(?:{SENTENCE_START}){ANY_SPACE}"),
    Rule(r"(?i:art|bldg|ca|figs?|nos?|op|pp|prop)\.", before=f"{ANY_SPACE}?{DIGIT}"),
    Rule(r"(?i:pt[ey])\.", before=f"{SPACE}(?i:lim|ltd)"),
    Rule(rf"(?:(?i:{ABBREVIATION})|{STATE})\.", before=".."),
    Rule(rf"(?:{ACRONYM}|(?i:{ABBREVIATION}|{TITLE})|{STATE}|[A-Za-z])\."),
    Rule(ACRONYM, before=ANY_SPACE),
    Rule(f"{APOSTROPHE}[0-9][0-9]", before=ANY_SPACE),
    Rule(rf"(?:{LETTER}|{DIGIT})+(?:\.(?:{LETTER}|{DIGIT})+)*\.(?i:{FILE_ENDING})", before=f"(?:{ANY_SPACE}|[.?!,])"),
    Rule(rf"{WORD}\.", before=INNER_MARK, write=without_soft_hyphens),
    Rule(TELEPHONE, write=as_telephone),
    # Faces, brackets, marks.
    Rule("<|(?i:&lt;)", write=lambda _: "<"),
    Rule(">|(?i:&gt;)", write=lambda _: ">"),
    Rule(r"[<>]?[:;=][-o*']?[()DPdpO\\{@|\[\]]", before="[^A-Za-z0-9]", write=as_face),
    Rule(r"[-^x=~<>']_[-^x=~<>']|\([-^x=~<>'][_.]?[-^x=~<>']\)|\([\^x=~<>']-[\^x=~<>'`]\)", write=as_face),
    Rule(r"[\^x=~<>]\.\[\^(?i:x)=[^<]*<>\]", write=as_face),
    Rule(r"[()\[\]{}]", write=with_named_brackets),
    Rule("-+", write=lambda hyphens: "--" if len(hyphens) in (3, 4) else hyphens),
    Rule("\\.{3,5}|(?:\\.[ \u00a0]){2,4}\\.|[\u0085…]", write=lambda _: "..."),
    Rule(r"@+|\#+|_+|\*+|(?:\\\*){1,3}|=|/|[?!]+"),
    Rule(f"{INNER_MARK}|[.¡¿\u037e։؟۔\u0700-\u0702\u07fa。]"),
    # Compounds.
    Rule(rf"{HYPHENATED}\.", before=INNER_MARK, write=without_soft_hyphens),
    Rule(HYPHENATED, write=without_soft_hyphens),
    Rule(rf"{COMPOUND}\.", before=INNER_MARK),
    Rule(COMPOUND),
    Rule(rf"{INITIALS}\.", before=INNER_MARK, write=with_plain_ampersands),
    Rule(INITIALS, write=with_plain_ampersands),
    # Quotes, last of all that an apostrophe may begin: `'very` is no `'ve`.
    Rule('"|(?i:&quot;)', write=in_ascii),
    Rule("'", before=r"[A-Za-z][^ \t\n\r\u00A0]"),
    Rule(CLITIC, write=in_ascii),
    Rule(f"[`‘-‟\u0091-\u0094‹›«»]{{1,2}}|''|{APOSTROPHE}", write=in_ascii),
    Rule("<<|>>"),
    Rule(SYMBOL),
    # What is between words, and what the tokenizer does not know.
    Rule(f"{SPACE}+|{ANY_SPACE}|(?i:&nbsp;)", write=nothing),
    Rule(".", write=nothing),
)
