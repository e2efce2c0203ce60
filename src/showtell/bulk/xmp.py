"""A caption as an XMP file beside a photo, as photo managers read it (Lightroom, digiKam, darktable, Bridge).

The caption is dc:description, whose `x-default` is what programs show. Not written into a copy of the photo, neither as
XMP nor as IPTC: Pillow would have to compress a JPEG again, and no library among the dependencies edits its metadata
alone. ExifTool does it from these files: `exiftool -tagsfromfile %d%f.xmp -all:all PHOTOS`.
"""

from __future__ import annotations

import re
from typing import Final
from xml.sax.saxutils import escape, quoteattr

_ILLEGAL: Final = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 does not allow, not even as an escape."""
_DOCUMENT: Final = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/">
   <dc:description>
    <rdf:Alt>
     <rdf:li xml:lang="x-default">{text}</rdf:li>
     <rdf:li xml:lang={language}>{text}</rdf:li>
    </rdf:Alt>
   </dc:description>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>
"""


def xmp_document(caption: str, language: str) -> bytes:
    """A whole XMP file in UTF-8. Characters that XML does not allow become U+FFFD."""
    text = escape(_ILLEGAL.sub("\ufffd", caption), {"\r": "&#13;"})
    return _DOCUMENT.format(text=text, language=quoteattr(_ILLEGAL.sub("", language))).encode()
