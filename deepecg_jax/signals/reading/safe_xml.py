"""XML from strangers: no entities, nothing fetched, and bounds before a tree is built."""

import re
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

from deepecg_jax.errors import UserError
from deepecg_jax.signals.reading.limits import read_bytes
from deepecg_jax.signals.recording import SignalError

MAX_XML_BYTES = 16 * 2**20
"""A 10 s ECG of 12 leads takes 0.1 to 2 MB as XML; 16 MiB are some 4 min at 1000 Hz."""

_MAX_TAGS = 200_000  # real files have hundreds to a few thousand; a tree of tags costs memory
_DECLARATION = re.compile(r"^\s*<\?xml[^>]*\?>")


def looks_like_xml(head: bytes) -> bool:
    """Whether a file that begins with these bytes is XML (UTF-8, Latin or UTF-16)."""
    return head.replace(b"\x00", b"").lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n").startswith(b"<")


def read_xml(path: Path) -> Element:
    """The root of an XML file, with namespaces taken off the tags.

    A document type is allowed (MUSE names one, and it is not fetched); an entity declaration or a
    reference to another file is not. Bytes that are not of the declared encoding are read as
    Latin-1.

    Raises:
        SignalError: ``unsafe_xml`` for entities, ``too_large``, or ``unreadable``.
        UserError: defusedxml (extra ``formats``) is not installed.
    """
    try:
        from defusedxml import DefusedXmlException
        from defusedxml.ElementTree import fromstring
    except ImportError as error:
        raise UserError(
            f"{path} is XML, which needs the extra: pip install 'deepecg_jax[formats]'."
        ) from error
    raw = read_bytes(path, MAX_XML_BYTES)
    if raw.count(b"<") > _MAX_TAGS or raw.count(b"=") > _MAX_TAGS * 5:
        raise SignalError(
            "read", "too_large", f"{path} has more than {_MAX_TAGS} tags, which no ECG file has."
        )
    try:
        try:
            root = fromstring(raw)
        except (ParseError, ValueError, LookupError) as error:
            if isinstance(error, DefusedXmlException):
                raise
            root = fromstring(_DECLARATION.sub("", raw.decode("latin-1"), count=1))
    except DefusedXmlException as error:
        raise SignalError(
            "read",
            "unsafe_xml",
            f"{path} declares entities or refers to other files, which no ECG device writes.",
        ) from error
    except (ParseError, ValueError, LookupError) as error:
        raise SignalError(
            "read", "unreadable", f"{path} is damaged XML ({' '.join(str(error).split())})."
        ) from error
    for element in root.iter():
        if isinstance(element.tag, str) and "}" in element.tag:
            element.tag = element.tag.partition("}")[2]
    return root
