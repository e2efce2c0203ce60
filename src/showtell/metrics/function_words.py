"""Function words by language, and those of them that cannot end a caption."""

from typing import Final


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


BAD_ENDINGS: Final = {
    "en": _words("a an the of and with in on to at"),
    "ar": _words("في من على علي إلى الى مع عن و أو او ثم بين التي الذي الذين حيث بينما"),
}
"""Words that cannot end a sentence. The English list is the one that captioning papers count."""

FUNCTION_WORDS: Final = {
    "en": _words(
        """
        a an the this that these those some any each every both all another other others
        i you he she it we they me him her us them his its our their my your hers theirs one ones who whom whose
        which what himself herself itself themselves
        of in on at by for with from to into onto over under through across along around near behind beside
        besides between above below up down out off about against during after before as while inside outside
        and or but nor so if than then when where there here because
        is are was were be been being am has have had having do does did doing can could will would may might
        's 'll 're 've 'm 'd n't not no
        very just also too only
        """
    ),
    "ar": _words(
        """
        في من على علي إلى الى مع عن بين عند تحت فوق أمام امام خلف وراء بجانب بجوار قرب حول داخل خارج خلال عبر نحو
        و ف ب ل ك أو او ثم لكن بينما حيث عندما أن ان إن كما
        هو هي هم هن هما هذا هذه ذلك تلك هناك هنا التي الذي الذين اللذان اللتان ما منها منه به بها له لها لهم فيه
        فيها عليه عليها إليه إليها معه معها
        كان كانت يكون تكون قد لا لم ليس كل بعض أي غير
        """
    ),
}
"""Articles, pronouns, prepositions, conjunctions, auxiliaries. Arabic writes some of them joined to the next word; such
a word counts as a content word."""
