"""Files: written whole or not at all, and never outside the folder that they belong to."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from vanbench.exact.errors import InputError

if TYPE_CHECKING:
    import numpy as np

TEMPORARY = ".tmp"
STALE = 3600.0  # seconds after which a temporary file is one that a killed process left
MACHINE = frozenset(
    getattr(errno, name)
    for name in (
        *("ENOSPC", "EDQUOT", "EFBIG", "EROFS", "EIO", "ESTALE", "EACCES", "EPERM", "EMFILE", "ENFILE", "EAGAIN"),
        *("ENOMEM", "ENOTDIR", "EISDIR", "ENAMETOOLONG", "ELOOP", "ENOTEMPTY", "ENXIO", "ENODEV", "ETIMEDOUT"),
    )
    if hasattr(errno, name)
)


def write_file(path: Path, fill: Callable[[Path], object], root: Path | None = None) -> Path:
    """Atomically: a reader, or a machine that dies, sees the whole file that ``fill`` writes or none of it.

    ``root``: the folder that the file belongs to; a link on the way that leads out of it raises ``InputError``, and a
    link or a pipe in its place is replaced. Without one, what is there and is no file (``/dev/stdout``, a pipe that
    somebody reads) is written into. An ``OSError`` names ``path``.
    """
    if root is not None:
        stay_inside(path, root)
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        path.parent.mkdir(parents=True, exist_ok=True)
        if root is None and path.exists() and not path.is_file() and not path.is_dir():
            with _opened(path):
                fill(path)
        else:
            _replace(path, fill)
    except OSError as error:
        error.filename = str(path)
        raise
    return path


def require_writable(folder: Path) -> None:
    """Raise ``InputError`` where nothing can be written into ``folder``, which is made: before work whose end is."""
    probe = folder / f".{uuid4().hex}{TEMPORARY}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise InputError(
            f"{str(folder)!r} takes no files: {error.strerror or error}; give another folder as --out."
        ) from error


def resolved(path: Path) -> Path:
    """Where links lead. Raises ``InputError`` where they lead in a circle."""
    try:
        return path.resolve()
    except (OSError, RuntimeError) as error:  # RuntimeError until Python 3.12
        raise InputError(f"{str(path)!r}: its links lead in a circle.") from error


def stay_inside(path: Path, root: Path) -> None:
    """Raise ``InputError`` where links or dots lead from ``root`` out of it on the way to ``path``."""
    if not resolved(path.parent).is_relative_to(resolved(root)):
        raise InputError(f"{str(path)!r} leads out of {str(root)!r}: nothing is written there.")


def require_file(path: Path, what: str = "") -> None:
    """Raise ``InputError`` for what is no file: a pipe would wait for somebody to write. ``what`` stands before it."""
    if not path.is_file():
        raise InputError(f"{what} {str(path)!r} is no file.".lstrip())


def read_text(path: Path, what: str = "") -> str:
    """Of a file that somebody else may have put there. Raises ``InputError`` for what is no file, or no text."""
    require_file(path, what)
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{what} {str(path)!r} cannot be read: it is no text in UTF-8.".lstrip()) from error
    except OSError as error:
        raise InputError(f"{what} {str(path)!r} cannot be read: {error}.".lstrip()) from error


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Of a ``.npz`` file by name, or ``x`` of a ``.npy`` file: numbers or text, never a pickle. Raises ``InputError``
    for anything else."""
    import numpy as np

    require_file(path)
    try:
        with open(path, "rb") as file:
            held = np.load(file, allow_pickle=False)
            arrays = {"x": held} if isinstance(held, np.ndarray) else {name: held[name] for name in held.files}
    except MemoryError:
        raise
    except Exception as error:  # damaged bytes make zipfile, zlib and NumPy raise all kinds; a pickle is a ValueError
        said = " ".join(str(error).split()).rstrip(".")  # libraries may say it in several lines
        raise InputError(f"{str(path)!r} cannot be read as arrays of plain numbers: {said}.") from error
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "buifSU":
            raise InputError(f"{str(path)!r} cannot be read as arrays of plain numbers: {name!r} holds something else.")
    return arrays


def append_text(path: Path, text: str) -> None:
    """Lines at the end of a file, as `append_bytes`."""
    append_bytes(path, text.encode())


def append_bytes(path: Path, content: bytes) -> None:
    """Whole or not at all, at the end of a file, to which several processes may write; one with another name, which a
    link gives, is copied first. Raises ``InputError`` for what is no file; an ``OSError`` names ``path``."""
    if path.is_symlink() or (path.exists() and (not path.is_file() or path.stat().st_nlink > 1)):
        require_file(path)
        write_bytes(path, path.read_bytes() + content, path.parent)
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab", buffering=0) as file:  # what a buffer holds back would be written when it is closed
            _append(file, content)
    except OSError as error:
        error.filename = str(path)
        if path.exists() and not path.stat().st_size:  # made here: its first line is a heading
            path.unlink()
        raise


def _append(file: io.FileIO, content: bytes) -> None:
    before = file.tell()
    try:
        while content:
            content = content[file.write(content) :]
    except BaseException:
        file.truncate(before)
        raise


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[None]:
    """Inside, a pipe has a writer. ``OSError`` at once for one that nobody reads, where opening would wait for ever."""
    held = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    try:
        yield
    finally:
        os.close(held)


def _replace(path: Path, fill: Callable[[Path], object]) -> None:
    temporary = path.with_name(f".{uuid4().hex}{TEMPORARY}")  # no longer than a name may be, and never another's
    try:
        fill(temporary)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_bytes(path: Path, content: bytes, root: Path | None = None) -> Path:
    return write_file(path, partial(Path.write_bytes, data=content), root)


def write_text(path: Path, text: str, root: Path | None = None) -> Path:
    return write_bytes(path, text.encode(errors="backslashreplace"), root)  # names of files need not be text


def write_json(path: Path, content: Any, root: Path | None = None) -> Path:
    """``content`` as JSON. Raises ``ValueError`` for a number that is not finite."""
    return write_text(path, json.dumps(content, indent=1, allow_nan=False), root)


def sweep(folder: Path) -> None:
    """Remove the temporary files under ``folder`` that killed processes left."""
    for path in folder.rglob(f".*{TEMPORARY}"):
        try:
            if time.time() - path.lstat().st_mtime > STALE:
                path.unlink()
        except OSError:  # another call was quicker, or may not
            continue


def unloadable(error: BaseException) -> str | None:
    """What keeps a library from being loaded, as a sentence; None for another error."""
    told: BaseException | None = error
    while told is not None:
        if isinstance(told, ImportError | OSError) and "shared object" in str(told):
            return f"a library cannot be loaded ({str(told).partition('. ')[0]}): is there enough memory (ulimit -v)?"
        told = told.__cause__ or told.__context__
    return None


def out_of_memory(error: BaseException) -> bool:
    """Also where torch is refused memory, which is a ``RuntimeError`` that only its text tells apart."""
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError)
        and (type(error).__name__ == "OutOfMemoryError" or "can't allocate" in str(error))
    )


def fault_of_machine(error: OSError) -> str | None:
    """What the machine or its user refuses (a full disk, too few file handles, no permission) as a sentence; None where
    the error says more about the program."""
    if error.errno not in MACHINE and error.filename is None:
        return None
    where = "" if error.filename is None else f"{str(error.filename)!r}: "
    return f"{where}{error.strerror or error}."
