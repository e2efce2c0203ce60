"""Makes ptb_golden.json: lines that are hard to cut into words, and how pycocoevalcap's PTBTokenizer cuts them.

    python tests/metrics/make_ptb_golden.py

Needs pycocoevalcap and Java. The file in the repository was made by pycocoevalcap 1.2 (Stanford CoreNLP 3.4.1) on Java
17. The lines are pieces, written by hand for what the rules are about, in the places where a rule looks around itself;
they were fixed before our own splitter was run on them. Ends of lines other than `\\n` are not among them: pycocoevalcap
takes lines for captions, so that after one of those every caption gets another's words.
"""

from __future__ import annotations

import json
import os
import random
from itertools import product
from pathlib import Path

GOLDEN = Path(__file__).with_name("ptb_golden.json")

# {} is a piece: alone, at the begin, within, before a name, before punctuation, at the end, glued to its neighbours.
PLACES = (
    "{}",
    "{} a dog runs .",
    "a man with {} in the park .",
    "They saw {} The boy ran .",
    "a sign says {}, and a dog ( {} ) barks",
    "a dog near {}.",
    '"{}" is written on it!',
)

PIECES = {
    "contractions": "can't don't DON'T won't isn't ain't I'm you're he'll they've she'd it's that'll'd could've y'all"
    " shouldn't've o'clock ma'am ne'er e'er li'l 'tis 'Twas 'twould c'mon gonna Gonna wanna gotta gimme lemme cannot"
    " CANNOT cannots whatcha dunno more'n d'ye doesnt dont im rock'n'roll 'n' ol' somethin' dunkin' d'Artagnan",
    "possessives": "dog's dogs' James's boss' girl's' 90's 1990s' it's' U.S.'s Mr.'s children's one's A's 3's x's's",
    "abbreviations": "Mr. Mrs. Dr. St. Jr. Sr. Inc. Co. Ltd. Corp. etc. e.g. i.e. vs. U.S. U.S.A. U.K. a.m. p.m. A.M."
    " No. no. nos. fig. Fig. approx. Jan. Sept. Mon. Tues. Ave. Blvd. Calif. Mass. Wash. Ph.D. M.D. B.A. D.C. J.F.K."
    " J. A. a. Prof. Gen. Capt. Lt. ft. in. lbs. oz. mph. cm. sq. est. dept. Bros. al. ed. vol. pp. ca. pt. Pte."
    " a.k.a. o.k. Mt. Rd. Tel. Ext. Minn. Ill. Ga. Va. Is. an.",
    "numbers": "1 23 1,000 1,000,000 3.14 .5 0.5 -5 +3 5th 1st 22nd 1990s '90s '99 50% 1/2 3/4 10/20 1-2 10-12 2x4 4x4"
    " 10:30 10:30pm 1.2.3 1,2 1. 2) #1 #10 No.1 no.5 1e6 007 1.000,50 12.5.2014 5/6/2014 2014-05-06 20-20-20 -1.5"
    " +1-2 1½ ½ ¼ ¾ ⅓ ⅔ ⅛ x² m³ H₂O 10⁻³ ²³ 1⁄2 5'10 5'10\" 6ft 30mph 10km 3D 4WD 2nd-floor V8 A4 MP3 24/7 9/11 911",
    "fractions": "2/3 11/16 2\\/3 1-1/2 100/3000 12345/2",
    "money": "$5 $1,000 $1.50 US$5 C$20 A$ $ £5 €10 ¥100 ₤5 ¢50 50¢ 5$ $$$ $5-$10 $5/hour $.50 HK$1.2m ₹500 ¤1 ₩5 ﹩5 ＄5",
    "units": "5kg 10% 10 % 20°C 20° 3\" 5' 6'2\" 100m 60Hz 3.5mm 5-ft 12-inch 10x 2×4 5±1 m² ℃ µm Ω 100°F 4K",
    "telephones": "555-1234 (555)123-4567 555-123-4567 +1-555-123-4567 1-800-555-1234 555.123.4567 (02)1234-5678",
    "urls": "http://www.example.com https://example.com/a?b=c&d=1#e www.flickr.com flickr.com example.co.uk/path"
    " HTTP://X.COM ftp://a.b file.txt photo.jpg a.pdf IMG_1234.JPG index.html .com dog.com/cat a.b.c node.js"
    " http:// www. example.org, http://a.b/(c) readme.md x.exe data.tar.gz",
    "mail": "a@b.com john.smith@example.co.uk <a@b.com> @home user@ @user #dog #dog2 #2 ##x @a_b me@localhost"
    " mailto:a@b.com a.b+c@d.org",
    "emoji": "😀 👨‍👩‍👧 🇺🇸 ❤️ ☃ ✈ ✓ ★ ♥ 👍🏽 :) :-) :( ;-) :D :P =) ^_^ -_- (^_^) <3 :'( 8) :-/ XD T_T o_O >_< :o) =] :| :* (:",
    "quotes": "\"dog\" 'dog' ``dog'' `dog' “dog” ‘dog’ «dog» ‹dog› „dog“ ‚dog‘ \"dog 'dog dog\" dog' ''dog '' `` ' \" ”dog“"
    " ’tis ‘90s dog’s don’t ’s \"'dog'\" ''' \"\" &quot;dog&quot; ＂dog＂ ′ ″ 5′ ❝dog❞ `",
    "dashes": "dog-cat dog--cat dog---cat dog----cat -----  dog- -dog --dog dog-- – — dog–cat dog—cat ― ‐ dog‐cat ‑ − −5"
    " - -- --- t-shirt T-Shirt snow-covered merry-go-round black-and-white 3-year-old -year-old x-ray e-mail"
    " tri-colored- half- pro- anti- anti-war non-U.S. mid-1990s A-1 -a-b- 2-3-4 co-op. --a",
    "ellipses": "... .. .... ..... ...... … dog... ...dog dog...cat . . . . . .. dog…cat ?.. !... .... a.. ..,",
    "brackets": "(dog) [dog] {dog} <dog> ( ) [ ] { } < > (dog dog) ((dog)) [1] (s) dog(s) {a} <<dog>> (1) a) 1) (a (5) << >>"
    " ) ( ](",
    "entities": "&amp; AT&amp;T &lt;b&gt; &nbsp; &mdash; &ndash; &eacute; caf&eacute; &apos; it&apos;s &#39; &quot; &copy; &;"
    " & AT&T Q&A R&D S&P S&P-500 A&W B&Bs &c M&Ms &amp;amp;",
    "tags": "<b> </b> <br/> <br /> <a href=\"x\"> <img src='a' alt=b> <!-- c --> <!DOCTYPE html> <p>dog</p> <1> < b > <b"
    " <a-b> </ b> <?xml?> <sgml.tag>",
    "accents": "café cafe\u0301 naïve Zoë Ångström ñandú über résumé Œuvre ﬁsh Straße İstanbul ǆ Ǆ ª º ŀ ŉ ſ K Å",
    "spaces": "a\u00a0dog a\u2003dog a\u200bdog a\u202fdog a\u3000dog a\tdog dog\u00a0 2\u00a01/2"
    " \ufeffdog a\u2060dog a\u180edog",
    "hyphens": "so\u00adft \u00adsoft soft\u00ad a\u00adn't \u00ad 1\u00ad000 do\u00adn't t\u00ad-shirt",
    "scripts": "犬 狗在跑 犬が走る。 개가 달린다 ハット ﾊｯﾄ 、 。 「犬」 كلب الكلب، كلب؟ كَلْبٌ ٣ ٣٫٥ ١/٢ पानी कुत्ता। ५ собака Собака!"
    " σκύλος σκύλος; עברית שָׁלוֹם ไทย ქართული Հայերեն։ dogсобака dog犬 ﷺ ﻻ አማርኛ᠎ বাংলা தமிழ்",
    "upper case": "DOG DOGS' ISN'T IT'S THE A I NASA NASA's USA. OK. TV's TVs U.S.A MR. DR. PHD I.E. A.B.C. I. II. IV XL",
    "marks": "! !! !!! ?! !? ??? ; : :: , ,, ,. ;) / // \\ \\\\ | || ~ ~~ ^ * ** *** **** _ __ ___ + ++ += = == === @ @@ # ## % %% $$"
    " § ¶ † ‡ • · ° ¬ ¦ ¡ ¿ ¡Hola! ¿Qué? ※ ← → ↔ ⇒ ∞ ≠ ≤ √ © ® ™ ℠ № ℗ ◆ ■ ☎ ✔ ♪ ⁂ ‰ ‽ ⁇ ‥ a/b and/or he/she/it w/o w/ n/a"
    " dog/ /dog a//b c:\\x C++ c# F# J++ a_b _a _ a* *a a+b a=b a|b a~b 100%! x^2 ,dog dog,cat dog;cat dog:cat dog.cat"
    " dog.Cat Dog.Cat dog!Cat dog?cat end.The end.the",
    "curiosities": "-LRB- -rrb- -lsb- -RCB- C.D.s s&ls cap'n c'est Hawai'i M'Baye O'Brien o'brien L'Oréal l'oeil d'oh D'oh nat'l"
    " cont'd cont'd. nor'easter s'mores ev'ry int'l gov't a'b X'd y'know Yahoo! Yahoo!s Jeopardy! E! P!nk Ke$ha A$AP l33t"
    " iPhone iPhone6 eBay McDonald's MacBook's x-y-z ABCs F-16 F/A-18 AC/DC 50/50 km/h rpm's @#$% :// ://a .net .NET",
}

MORE = (
    "2 1/2 feet",
    "two 3 4/5 , 6 7/8 miles",
    "call (555) 123-4567 or 555 1234 now .",
    "No. 5 on the No . 5 bus , nos. 3 and 4",
    "He works at Acme Corp. He likes it . She works at Acme Corp. in Washington .",
    "the letter A. The letter B . In plan C. he",
    "at 5 p.m. The dog sleeps until 6 a.m. and eats",
    "J. K. Rowling and J.K. Rowling and JK",
    "St. Bernard on Main St. The dog",
    "Sgt. Pepper 's and sgt. pepper",
    ". . . .",
    "! ! ! ? ? ?",
    "- - -",
    "' ' '",
    '" " "',
    "a dog 's bone and two dogs ' bones",
    "a dog ' s bone",
    "he said `` go '' and `` stay ''",
    "rock ' n ' roll 'n roll n' roll",
    "a boy , a girl , a dog , a cat ; a man : a woman .",
    "a man in a 49er 's jersey",
    "one, two,three ,four",
    "Pte. Ltd. and pty. ltd.",
    "a < b > c and a<b>c and 1 < 2 > 1",
    "<a b=c d='e' f=\"g\" h> i <j / > k",
    "the U.S. The U.S. the U.S. , U.S. . U.S.",
    "art. 5 Art. V arts. 3 fig. 2 Fig. two",
    "pp. 3 - 5 , op. 9 , op. cit.",
    "on Jan. 5 , 1999 and in Jan. The",
    "x" * 300,
    "very " * 60 + "long",
    "a-" * 40 + "b",
    "a." * 20,
    "1," * 20 + "1",
    "'" * 9,
    "." * 12,
    "-" * 12,
)


def lines() -> list[str]:
    """Every piece in every place, some pairs of pieces side by side, and whole captions."""
    pieces = [piece for of_kind in PIECES.values() for piece in of_kind.split(" ") if piece]
    draw = random.Random(0)
    placed = [place.format(piece, piece) if "{}" in place else place for piece, place in product(pieces, PLACES)]
    beside = [joint.join(draw.sample(pieces, draw.randint(2, 5))) for joint in (" ", "", ", ") for _ in range(150)]
    # All places would be five thousand lines, which say little more than a third of them does.
    chosen = [line for line in placed if draw.random() < 0.3]
    return list(dict.fromkeys([*pieces, *chosen, *beside, *MORE]))


def main() -> None:
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    # Before Java 18, text is read in the encoding of the terminal unless this is said.
    os.environ["JAVA_TOOL_OPTIONS"] = "-Dfile.encoding=UTF-8"
    known = [text for text, _ in json.loads(GOLDEN.read_text(encoding="utf-8"))]
    every = list(dict.fromkeys([*known, *lines()]))
    words = PTBTokenizer().tokenize({n: [{"caption": line}] for n, line in enumerate(every)})
    rows = ",\n".join(json.dumps([line, words[n][0]], ensure_ascii=True) for n, line in enumerate(every))
    GOLDEN.write_text(f"[\n{rows}\n]\n", encoding="utf-8")
    print(f"{len(every)} lines")


if __name__ == "__main__":
    main()
