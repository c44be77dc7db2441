"""Learning from the command line and from files: what is read, refused, stored and loaded again."""

import errno
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import typer
from command_line import run as command_line
from damage import damaged
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from vanbench.compare.commands import learn as commands
from vanbench.compare.learn.ising import data as ising_data
from vanbench.compare.learn.ising import learning
from vanbench.compare.learn.ising import predict as ising_predict
from vanbench.compare.learn.ising.learning import Spec, kl_divergence, load, run
from vanbench.exact.errors import InputError
from vanbench.exact.ising import enumeration
from vanbench.neural.learning import likelihood as learn

GOOD = np.array([[0, 1, 1, 0], [1, 1, 0, 0], [0, 0, 0, 1]])


@pytest.mark.parametrize(
    ("x", "says"),
    [
        (np.array([[0, 2, 0, 0], [0, 0, 1, 0]]), "integers 0..1"),
        (np.array([[0, 0.5, 0, 0], [0, 0, 1, 0]]), "integers 0..1"),
        (np.array([[0, np.nan, 0, 0], [0, 0, 1, 0]]), "NaN"),
        (np.array([[0, np.inf, 0, 0], [0, 0, 1, 0]]), "infinite"),
        (np.zeros((0, 4)), "no configurations"),
        (np.ones((5, 4)), "all configurations are the same"),
        (np.ones((5, 3)), "3 values"),
        (np.array([["a", "b", "c", "d"]]), "array of numbers"),
        (np.array(3), "array of numbers"),
        (1j * np.eye(4), "array of numbers"),
        (np.array([[0, 1, 1, 0], [1, 0]], dtype=object), "array of numbers"),
    ],
)
def test_bad_configurations_are_refused_in_a_sentence(x, says):
    with pytest.raises(InputError, match=says):
        learn.check_configurations(x, 4, 2)


def test_files_are_read(tmp_path):
    np.save(tmp_path / "a.npy", GOOD)
    np.save(tmp_path / "spins.npy", 2 * GOOD.reshape(3, 2, 2) - 1)
    np.savez(tmp_path / "a.npz", x=GOOD)
    np.savetxt(tmp_path / "a.csv", GOOD, delimiter=",", fmt="%d")
    for name in ("a.npy", "spins.npy", "a.npz", "a.csv"):
        assert (ising_data.read(tmp_path / name, 4) == GOOD).all()
    np.save(tmp_path / "blocks.npy", np.array([[0, 4], [1, 2]]))
    assert ising_data.read(tmp_path / "blocks.npy", 2, 5).max() == 4
    np.save(tmp_path / "sums.npy", np.array([[-4, 4], [0, 2], [-2, 2]]))
    assert ising_data.read(tmp_path / "sums.npy", 2, 5).tolist() == [[0, 4], [2, 3], [1, 3]]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("ragged.csv", b"0,1,1,0\n1,1\n", "ragged"),
        ("empty.csv", b"", "no configurations"),
        ("words.csv", b"a,b,c,d\n0,1,0,1\n", "no header"),
        ("binary.csv", bytes(range(256)), "no text in UTF-8"),
        ("nan.csv", b"0,nan,1,0\n1,1,1,1\n", "NaN"),
        ("broken.npy", b"not an array", "plain numbers"),
        ("broken.npz", b"PK\x03\x04broken", "plain numbers"),
        ("empty.npy", b"", "plain numbers"),
        ("x.txt", b"0 1", "unknown ending"),
    ],
)
def test_bad_files_are_refused_in_a_sentence(tmp_path, name, content, says):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=says):
        ising_data.read(tmp_path / name, 4)


def test_pickles_and_missing_files_are_refused(tmp_path):
    np.save(tmp_path / "objects.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="plain numbers"):
        ising_data.read(tmp_path / "objects.npy", 4)
    with pytest.raises(InputError, match="no file"):
        ising_data.read(tmp_path / "missing.npy", 4)


def test_a_run_folder_can_be_loaded_and_predicts(tmp_path):
    training = learn.Training(batches=32, epochs=8, learning_rate=5e-3)
    spec = Spec((3, 3), 2.5, options={"hidden": [24]}, training=training)
    x = ising_data.generate(8000, (3, 3), 2.5)
    result = run(spec, x, tmp_path / "run")
    assert result["agreement"]["r2"] > 0.95
    loaded, net, fit = load(tmp_path / "run")
    assert loaded == spec
    assert fit["nll"] == result["nll"]
    kl, error = kl_divergence(spec, fit)
    exact = enumeration.log_distribution((3, 3), 2.5)
    truth = np.exp(exact) @ (exact - learn.log_prob(net, enumeration.configurations(9))) / 9
    assert abs(kl - truth) < 4 * error
    frame = ising_predict.predict(spec, net, fit, [2.0, 3.0], ising_predict.Sampling(draws=400))
    energy = frame[frame.quantity == "energy"]
    assert list(energy.method) == ["enumeration"] * 2
    # a fit of R^2 > 0.95 and 400 draws a temperature: a few hundredths per spin
    assert energy.difference.abs().max() < 0.1
    with pytest.raises(InputError, match="already holds this run"):
        run(spec, x, tmp_path / "run")
    (tmp_path / "run" / "model.pt").write_bytes(b"half")
    with pytest.raises(InputError, match="cannot be read"):
        load(tmp_path / "run")
    (tmp_path / "run" / "fit.json").unlink()
    (tmp_path / "run" / "checkpoint.pt").write_bytes(b"half")
    with pytest.raises(InputError, match="remove it"):
        run(spec, x, tmp_path / "run")
    with pytest.raises(InputError, match="other settings or data"):
        run(spec, x[:100], tmp_path / "run")


def test_the_same_call_goes_on_from_wherever_the_disk_was_full(tmp_path, monkeypatch):
    spec = Spec((2, 2), 2.5, options={"hidden": [4]}, training=learn.Training(batches=4, epochs=3))
    x = ising_data.generate(200, (2, 2), 2.5)
    whole, room = run(spec, x, tmp_path / "whole"), [0]

    def save(state: dict, path: Path, root: Path) -> None:
        room[0] -= 1
        if room[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        kept(state, path, root)

    kept = learning._save
    monkeypatch.setattr(learning, "_save", save)
    for room[0] in (0, 2, 1):  # checkpoints: none, two, and the last without the network
        with pytest.raises(OSError, match="No space"):
            run(spec, x, tmp_path / "run")
    room[0] = 10
    assert run(spec, x, tmp_path / "run")["nll"] == whole["nll"]


def test_coarse_configurations_are_learned(tmp_path):
    spec = Spec((4, 4), 2.5, stride=2, options={"hidden": [16]}, training=learn.Training(batches=32, epochs=3))
    x = ising_data.generate(2000, (4, 4), 2.5, stride=2)
    assert x.shape == (2000, 4)
    result = run(spec, x, tmp_path / "blocks")
    frame = ising_predict.predict(spec, *load(tmp_path / "blocks")[1:], [2.5], ising_predict.Sampling(draws=40))
    assert set(frame.quantity) == {"block_magnetization", "learned_specific_heat"}
    exact = enumeration.averages((4, 4), 2.5)["abs_magnetization"]
    row = frame.set_index("quantity").loc["block_magnetization"]
    assert abs(row.reference - exact) < 4 * row.reference_stderr  # stride 2: the blocks hold every spin once
    assert "agreement" not in result
    with pytest.raises(InputError, match="without translations"):
        Spec((4, 4), 2.5, stride=1, training=learn.Training(symmetries=("translations",)))


def test_commands(tmp_path):
    app = typer.Typer()
    commands.register(app)
    runner = CliRunner()
    folder = str(tmp_path / "run")
    common = ["learn", "ising", "--shape", "3x3", "--temperature", "2.5", "--quiet"]
    done = runner.invoke(
        app,
        [
            *common,
            "--generate",
            "500",
            "--epochs",
            "2",
            "--architecture-option",
            "hidden=8",
            "-p",
            "J=0.5",
            "--out",
            folder,
        ],
    )
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["configurations"] == 500
    done = runner.invoke(
        app,
        [
            "predict",
            folder,
            "--temperatures",
            "2:3:0.5",
            "--chains",
            "4",
            "--length",
            "5",
            "--format",
            "json",
            "--quiet",
        ],
    )
    assert done.exit_code == 0, done.output
    records = json.loads(done.stdout)["records"]
    assert {record["T"] for record in records} == {2.0, 2.5, 3.0}
    (figure,) = (tmp_path / "run").glob("predict-*.png")
    assert figure.stat().st_size > 10000
    for arguments in (
        [*common, "--out", folder],  # neither data nor generate
        [*common, "--generate", "500", "--out", folder],  # the folder is taken
        [*common, "--generate", "500", "--out", str(tmp_path / "new"), "-p", "K=1"],
        [*common, "--generate", "500", "--out", str(tmp_path / "new"), "-p", "J=strong"],
        ["predict", str(tmp_path)],
    ):
        assert isinstance(runner.invoke(app, arguments).exception, InputError)


def test_quiet_commands_still_warn(tmp_path):
    """Three configurations judge nothing, and three draws far from the temperature of training carry no average."""
    app = typer.Typer()
    commands.register(app)
    runner, folder = CliRunner(), str(tmp_path / "run")
    learn = ["learn", "ising", "--shape", "3x3", "--temperature", "4", "--generate", "12", "--epochs", "1"]
    done = runner.invoke(app, [*learn, "--architecture-option", "hidden=4", "--out", folder, "--quiet"])
    assert done.exit_code == 0, done.output
    (told,) = json.loads(done.stdout)["warnings"]
    assert done.stderr == f"warning: {told['kind']}: {told['text']}.\n"
    predict = ["predict", folder, "--temperatures", "0.3", "--draws", "20", "--format", "json", "--quiet"]
    done = runner.invoke(app, predict)
    assert done.exit_code == 0, done.output
    (told,) = json.loads(done.stdout)["warnings"]
    assert done.stderr.count("warning: ") == 1
    assert told["text"] in done.stderr


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    out = tmp_path_factory.mktemp("learned") / "run"
    spec = Spec((3, 3), 2.5, options={"hidden": [4]}, training=learn.Training(batches=4, epochs=1))
    run(spec, ising_data.generate(200, (3, 3), 2.5), out)
    return out


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(["spec.json", "fit.json"]), st.data())
def test_no_damaged_run_breaks_predict(learned, tmp_path_factory, capsys, name, data):
    """Read as it stands, or refused in a sentence that names the folder."""
    place = tmp_path_factory.mktemp("place") / "run"
    shutil.copytree(learned, place)
    (place / name).write_text(data.draw(damaged(json.loads((place / name).read_text()))))
    capsys.readouterr()
    code = command_line("predict", place, "--temperatures", "2", "--draws", "4", "--quiet")
    said = capsys.readouterr().err
    assert code in (0, 2), said
    assert "Traceback" not in said


@pytest.mark.slow  # half a minute
def test_an_odd_frustrated_lattice_to_its_end(tmp_path, capsys):
    """As written in an issue, where Wolff's clusters took spins twice: the data that it draws, and what is learned."""
    command = ["learn", "ising", "--shape", "5x5", "-p", "J=-1", "--temperature", "2.5", "--generate", "500"]
    assert command_line(*command, "--out", tmp_path / "out", "--quiet") == 0
    fit = json.loads(capsys.readouterr().out)
    nearest = fit["couplings"]["nearest"]
    assert abs(nearest["value"] + 1) < 4 * nearest["stderr"]
    assert nearest["value"] < -4 * nearest["stderr"]
