"""Claims: calls that share a folder, on one machine or several, share the work.

Beside the result that a process works on stands a hidden file, ``.NAME.claim``, that says who works on it. Its time is
renewed while the process lives, and a claim is dead, and taken over, when the process is gone (on the same machine) or
when nothing was renewed for ``DEAD`` seconds by the clock of the file system. Where a run failed, its claim stays, free
to be taken, with the reason.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import socket
import stat
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from uuid import uuid4

from vanbench.compare.run.stored import read_json
from vanbench.exact import InputError
from vanbench.exact.files import TEMPORARY, stay_inside, write_json

RENEWED, DEAD = 15.0, 180.0  # seconds; compiled code may hold back a renewal
PATTERN = ".*.claim"


@dataclass(frozen=True)
class Claim:
    """Who works, or worked, on a result. ``machine``: of this boot and this container; ``started``: of the process."""

    what: str
    host: str
    machine: str
    process: int
    started: str
    failed: str | None = None

    def __str__(self) -> str:
        return f"process {self.process} on {self.host}"


@contextlib.contextmanager
def claimed(result: Path, what: str, root: Path) -> Iterator[Claim | None]:
    """Inside, ``result``, a file under ``root``, is ours to make (None), or somebody else's who lives, who is told.

    An exception inside leaves the claim, as one that failed, with its text; an ending signal leaves nothing.
    """
    stay_inside(result, root)
    path = path_of(result)
    other = _take(path, _own(what))
    if other is not None:
        yield other
        return
    over = threading.Event()
    renewing = threading.Thread(target=_renew, args=(path, over), daemon=True)
    renewing.start()
    try:
        yield None
    except Exception as error:
        try:
            fail(result, what, f"{type(error).__name__}: {error}" if not isinstance(error, InputError) else str(error))
        except OSError:  # of a full disk: without its reason rather than held by a process that may live on
            path.unlink(missing_ok=True)
        raise
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    else:
        path.unlink(missing_ok=True)
    finally:
        over.set()
        renewing.join()


def path_of(result: Path) -> Path:
    return result.with_name(f".{result.name}.claim")


def fail(result: Path, what: str, why: str) -> None:
    write_json(path_of(result), asdict(replace(_own(what), failed=why[:2000])))


def read(path: Path) -> Claim | None:
    """The claim in the file, None where there is none, or none that can be read."""
    try:
        claim = Claim(**read_json(path))
    except (InputError, TypeError):
        return None
    texts = claim.what, claim.host, claim.machine, claim.started, claim.failed or ""
    return claim if type(claim.process) is int and all(isinstance(text, str) for text in texts) else None


def alive(path: Path) -> Claim | None:
    """The claim in the file if somebody works under it."""
    claim = read(path)
    if claim is None or claim.failed is not None:
        return None
    if claim.machine == _machine():
        return claim if claim.started == _started(claim.process) else None
    try:
        return claim if _age(path) < DEAD else None
    except OSError:
        return None


def _take(path: Path, own: Claim) -> Claim | None:
    """Make the claim ours, unless somebody holds it who lives."""
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        temporary = path.with_name(f".{uuid4().hex}{TEMPORARY}")
        try:
            _fill(temporary, own)
            _new(temporary, path)
            return None
        except FileExistsError:
            with contextlib.suppress(FileNotFoundError):  # it was given back in the meantime
                if not stat.S_ISREG(path.lstat().st_mode):  # a link or a pipe: no claim of ours
                    path.unlink()
                    continue
                judged = path.read_bytes()
                other = alive(path)
                if other is not None:
                    return other
                if _replaced(path, judged, temporary):
                    return None
        finally:
            temporary.unlink(missing_ok=True)


def _fill(temporary: Path, own: Claim) -> None:
    """``OSError`` names the folder, which is full or read-only."""
    try:
        temporary.write_text(json.dumps(asdict(own)))
    except OSError as error:
        error.filename = str(temporary.parent)
        raise


def _new(content: Path, path: Path) -> None:
    """``path`` with what ``content`` holds, whole, on network file systems too. ``FileExistsError`` if there is one."""
    try:
        os.link(content, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        path.open("xb").close()
        try:
            path.write_bytes(content.read_bytes())
        except OSError:
            path.unlink(missing_ok=True)
            raise


def _replaced(path: Path, dead: bytes, ours: Path) -> bool:
    """Put ``ours`` in the place of a dead claim: who has the lock of just that claim does, while it stands there."""
    with contextlib.suppress(FileNotFoundError):  # another call was quicker
        lock = path.with_name(f"{path.name}.{hashlib.sha256(dead).hexdigest()[:16]}")
        try:
            _new(ours, lock)
        except FileExistsError:
            time.sleep(0.01)
            if _age(lock) > DEAD:  # of one that was killed right there
                lock.unlink()
            return False
        try:
            if path.read_bytes() == dead:
                os.replace(ours, path)
                return True
        finally:
            lock.unlink(missing_ok=True)
    return False


def _renew(path: Path, over: threading.Event) -> None:
    while not over.wait(RENEWED):
        with contextlib.suppress(OSError):
            os.utime(path)


def _age(path: Path) -> float:
    """Seconds since the file was renewed, by the clock that its times are of."""
    probe = path.with_name(f".{uuid4().hex}{TEMPORARY}")
    try:
        probe.touch()
        return probe.stat().st_mtime - path.stat().st_mtime
    finally:
        probe.unlink(missing_ok=True)


def _own(what: str) -> Claim:
    return Claim(what, socket.gethostname(), _machine(), os.getpid(), _started(os.getpid()) or "")


def _machine() -> str:
    parts = [socket.gethostname()]
    for name in ("/proc/sys/kernel/random/boot_id", "/proc/self/ns/pid"):
        with contextlib.suppress(OSError):
            parts.append(Path(name).read_text().strip() if "random" in name else os.readlink(name))
    return " ".join(parts)


def _started(process: int) -> str | None:
    """When the process began, so that its number given to another is told apart; None where it is gone."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        return None if fields[0] in "ZX" else fields[19]
    except OSError:
        pass
    if Path("/proc/self/stat").exists():
        return None
    try:  # no Linux
        os.kill(process, 0)
    except ProcessLookupError:
        return None
    except OSError:
        pass
    return ""
