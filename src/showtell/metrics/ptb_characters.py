r"""Character classes of the Stanford PTB tokenizer 3.4.1, as parts of regular expressions.

The tokenizer was built in 2014 and drops letters that Unicode gained later. `[^\W\d_]` alone would keep them; hence the
exceptions below. They come from running the Java program on each of the 65,536 UTF-16 code units, which are its input:
an emoji is two of them, both unknown.

Rejected: one table of all its letters. Python's letters with exceptions are a tenth as long and show what is special.
"""

from typing import Final


def _ranges(code_points: str) -> str:
    r"""The inside of a character class: `"00AD 2000-200A"` becomes `\u00AD\u2000-\u200A`."""
    return "".join("-".join(f"\\u{point}" for point in part.split("-")) for part in code_points.split())


_NEWER_LETTERS: Final = _ranges(
    "037F 0528-052F 0560 0588 05EF 0860-088E 08A1 08AD-08C9 0978 0980 09FC 0AF9 0C34 0C5A-0C5D 0C80 0CDD 0D04"
    " 0D54-0D5F 0E86 0E89 0E8C 0E8E-0E93 0E98 0EA0 0EA8-0EA9 0EAC 13F5-13FD 16F1-16F8 170D 171F 1878 191D-191E"
    " 19B0-19C0 19C8-19C9 1B4C 1C80-1CBF 1CF2-1CF3 1CFA 2C2F 2C5F 312E-312F 31BB-31BF 4DB6-4DBF 9FCD-9FFF A698-A69D"
    " A78F A794-A79F A7AB-A7F7 A8FD-A8FE A9E0-A9FE AA7E-AA7F AB30-ABBF"
)
"""Letters to Python, unknown to the tokenizer."""

_NUMERALS: Final = _ranges(
    "00B2-00B3 00B9 00BC-00BE 09F4-09F9 0B72-0B77 0BF0-0BF2 0C78-0C7E 0D58-0D5E 0D70-0D78 0F2A-0F33 1369-137C"
    " 16EE-16F0 17F0-17F9 19DA 2070 2074-2079 2080-2089 2150-2182 2185-2189 2460-249B 24EA-24FF 2776-2793 2CFD 3007"
    " 3021-3029 3038-303A 3192-3195 3220-3229 3248-324F 3251-325F 3280-3289 32B1-32BF A6E6-A6EF A830-A835"
)
r"""Superscripts, fractions, Roman and circled numbers: `\w` but not `\d` to Python, and not letters."""

_COMBINING: Final = _ranges(
    "00AD 02C2-0379 0384-0385 03F6 0483-0487 055A-055F 0591-05BD 05BF 05C1-05C2 05C4-05C5 05C7 0615-061A 064B-065E"
    " 0670 06D6-06ED 06FD-06FE 070F-07B0 07EB-07F3 0900-0903 093C-094E 0951-0955 0962-0963 0981-0983 09BC-09C4"
    " 09C7-09C8 09CB-09CD 09D7 09E2-09E3 0A01-0A03 0A3C 0A3E-0A4F 0A81-0A83 0ABC-0ACF 0B82 0BBE-0BC2 0BC6-0BC8"
    " 0BCA-0BCD 0C01-0C03 0C3E-0C56 0D3E-0D44 0D46-0D48 0E31-0E3A 0E47-0E4E 0EB1-0EBC 0EC8-0ECD 1885-1886"
)
"""Allowed in a word without being letters: combining vowel signs and accents, and the soft hyphen."""

_SYMBOLS: Final = _ranges(
    "0025-0026 002B 005C 005E 007C 007E 00A1 00A6-00A9 00AC 00AE-00B1 00B4 00B6-00B8 00BF 00D7 00F7 037E 0387 0589"
    " 05BE 05C0 05C3 05C6 05F3-05F4 0600-0603 0606-060A 060C 0614 061B 061E-061F 066A 066D 06D4 0700-070D 07F6-07F8"
    " 0964-0965 0E4F 1FBD 2016-2017 2020-2023 2030-2038 203B 203E-2042 2044 207A-207E 208A-208E 2100-2101 2103-2106"
    " 2108-2109 2114 2116-2118 211E-2123 2125 2127 2129 212E 213A-213B 2140-2144 214A-214D 214F 2190-2BFF 3002 3012"
    " 30FB FF01-FF0F FF1A-FF20 FF3B-FF40 FF5B-FF65"
)

ALPHA: Final = rf"[^\W\d_{_NEWER_LETTERS}{_NUMERALS}]"
DIGIT: Final = r"[^\D\u0DE6-\u0DEF\uA9F0-\uA9F9]"
LETTER: Final = rf"(?:{ALPHA}|[{_COMBINING}]|&[aeiouAEIOU](?i:acute|grave|uml);)"
SYMBOL: Final = rf"[{_SYMBOLS}]"

SPACE: Final = r"[ \t\u00A0\u2000-\u200A\u3000]"
ANY_SPACE: Final = r"[ \t\u00A0\u2000-\u200A\u3000\n\r\u000B\u000C\u0085\u2028\u2029]"
"""Including line ends."""

# Typed and typeset apostrophes; \x91 and \x92 are undecoded Windows-1252.
APOSTROPHE: Final = r"(?:['\u0092\u2019]|(?i:&apos;))"
APOSTROPHE_INSIDE: Final = r"(?:['`\u0092\u2019\u0091\u2018\u201B]|(?i:&apos;))"
"""Also opening quotes, which occur in place of an apostrophe inside a word."""
