"""One entry of a store as the command line names it: STORE.h5:INDEX or STORE.h5:ID."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

from octree.store_file import KINDS, StoreFile
from pcrq.errors import InputError

_STORE = re.compile(r"(?P<path>.+\.(?:h5|hdf5))(?::(?P<key>.*))?", re.IGNORECASE | re.DOTALL)


def split_store_name(name: str) -> tuple[str, str] | None:
    """The path of the store and the index or id behind its colon, "" without one; None where no store is named."""
    match = _STORE.fullmatch(name)
    return None if match is None else (match["path"], match["key"] or "")


def entry_index(store: StoreFile, ids: Sequence[str], key: str) -> int:
    """The position of an entry in its store.

    Args:
        store: an open store of shapes or sounds.
        ids: of its entries, in order.
        key: an index, negative ones count from the end, or an id.

    Raises:
        InputError: there is no such entry; the message tells which there are.
    """
    kind, count = KINDS[store.FORMAT], len(store)
    if count == 0:
        raise InputError(f"{store.path}: the store holds no {kind}s")
    entries = f"the store holds {count} {kind}{'s' if count > 1 else ''}, 0 to {count - 1}"
    if not key:
        raise InputError(f"{store.path}: name one of its {kind}s, as in {store.path}:0; {entries}")
    if re.fullmatch(r"[+-]?\d+", key):
        index = int(key)
        if not -count <= index < count:
            raise InputError(f"{store.path}: there is no {kind} {index}; {entries}")
        return index
    if key not in ids:
        close = difflib.get_close_matches(key, ids, n=3)
        like = f"; close to it are {', '.join(close)}" if close else f", such as {ids[0]}"
        raise InputError(f"{store.path}: no {kind} has the id {key!r}; name an index or an id{like}")
    return ids.index(key)
