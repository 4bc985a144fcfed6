"""Files whose names are spelled otherwise in a table than on disk: case, and how accents are coded.

Windows and macOS find ``ECG/1.xml`` under the name ``ecg/1.XML``; macOS and older archives write
``ü`` as two characters. A table made there names files that Linux does not find.
"""

import os
import unicodedata
from functools import lru_cache


def as_on_disk(path: str) -> str:
    """The one existing path that differs from ``path`` in case or in the coding of accents only.

    ``path`` itself if it exists; "" if there is no such path, or if several are possible.
    """
    if os.path.exists(path):
        return path
    folder, name = os.path.split(path)
    if not name or folder == path:
        return ""
    folder = as_on_disk(folder)
    if not folder:
        return ""
    found = _names(folder).get(_key(name), ())
    return os.path.join(folder, found[0]) if len(found) == 1 else ""


@lru_cache(maxsize=16)
def _names(folder: str) -> dict[str, tuple[str, ...]]:
    """Key -> names in a folder; kept, because all its files may be asked for."""
    names: dict[str, tuple[str, ...]] = {}
    try:
        for name in os.listdir(folder):
            names[_key(name)] = (*names.get(_key(name), ()), name)
    except OSError:  # no folder, or none that may be read: nothing is found in it
        return {}
    return names


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
