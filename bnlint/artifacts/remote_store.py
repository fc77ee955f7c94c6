"""Stores of remote files, through fsspec: opening files, looking for them, and failures in a sentence."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, Final, cast

from bnlint.artifacts.user_code import described, first_line
from bnlint.artifacts.weight_folders import INDEX_SUFFIX, is_shard, listed_in
from bnlint.errors import BnlintError, NotAnalysedError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

BLOCK: Final = 1 << 16
"""Bytes that are fetched at once: the statistics of a layer lie side by side and are a few kilobytes."""

_BLOCKS_KEPT: Final = 8
"""Of each open file: a model can have hundreds."""


def open_remote(name: str) -> BinaryIO:
    """Open a remote file, of which only what is asked for will be fetched.

    Args:
        name: Its address.

    Raises:
        Exception: Whatever the store raises; `sentences` puts it into words.
    """
    store, path = _store_of(name)
    opened = store.open(
        path, "rb", block_size=BLOCK, cache_type="blockcache", cache_options={"maxblocks": _BLOCKS_KEPT}
    )
    return cast("BinaryIO", opened)


def find_remote(name: str) -> dict[str, bool]:
    """The remote files that match a pattern, and those at any depth of a folder that does.

    Args:
        name: An address with `*` or `**`, or that of a folder with a slash at its end.

    Returns:
        Their addresses in order, and whether each was found in a folder; none where there is nothing.

    Raises:
        NotAnalysedError: The store fails.
        UsageError: The package for the store is not installed, or there is no such store.
    """
    with sentences(name):
        store, path = _store_of(name)
        try:
            if name.endswith("/"):
                matches, folders = [], {path}
            else:
                details = store.glob(path, detail=True)
                folders = {match for match, about in details.items() if about["type"] == "directory"}
                matches = [match for match in details if match not in folders]
            inner = [file for folder in folders for file in store.find(folder)]
        except FileNotFoundError:  # some stores say so of a folder
            return {}
        found = dict.fromkeys(inner, True) | dict.fromkeys(matches, False)
        return {str(store.unstrip_protocol(file)): found[file] for file in sorted(found)}


def remote_indices(files: Collection[str]) -> dict[str, str]:
    """The index that lists each shard among remote files, by the address of the shard.

    Args:
        files: Addresses. Where one is called as a shard, an index is looked for beside it, which a pattern for shards
            does not match.

    Raises:
        NotAnalysedError: The store fails.
    """
    indices = {file for file in files if file.endswith(INDEX_SUFFIX)}
    for folder in {file.rpartition("/")[0] for file in files if is_shard(file)}:
        indices |= set(find_remote(f"{folder}/*{INDEX_SUFFIX}"))
    return {
        f"{index.rpartition('/')[0]}/{shard}": index for index in sorted(indices) for shard in _listed_remotely(index)
    }


def _listed_remotely(index: str) -> Iterable[str]:
    """The files of an index; none for one that is damaged, which is a target of its own and will say so."""
    try:
        with sentences(index), open_remote(index) as file:
            return listed_in(file, index)
    except NotAnalysedError:
        return ()


@contextmanager
def sentences(name: str) -> Iterator[None]:
    """Turn what stores raise into a sentence: each brings a library with errors of its own.

    Args:
        name: The address that is looked at.
    """
    try:
        yield
    except BnlintError:
        raise
    except FileNotFoundError as error:
        raise UsageError(f"There is no file `{name}`.") from error
    except ImportError as error:
        hint = "`pip install 'bnlint[remote]'` brings fsspec; the package for the store comes beside it."
        raise UsageError(f"`{name}` cannot be read: {first_line(error)}.", hint) from error
    except Exception as error:
        raise NotAnalysedError(f"`{name}` cannot be read: {described(error)}.") from error


def _store_of(name: str) -> tuple[Any, str]:
    """The file system of fsspec for an address, and the path in it."""
    import fsspec
    from fsspec.core import url_to_fs

    scheme = name.partition("://")[0]
    try:
        fsspec.get_filesystem_class(scheme)
    except ValueError as error:
        import difflib  # only a mistake needs it

        known = fsspec.available_protocols()
        close = difflib.get_close_matches(scheme, known, n=1)
        hint = f"Did you mean `{close[0]}://`?" if close else f"There are {', '.join(sorted(known))}."
        raise UsageError(f"`{name}`: there is no store `{scheme}://`.", hint) from error
    store, path = url_to_fs(name)
    return store, str(path)
