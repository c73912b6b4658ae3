"""Checkpoints: what is kept, and what comes back."""

import resource
import shutil
import signal
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from resunet_lc_jax.learning.state import TrainState, create_state
from resunet_lc_jax.runs.checkpoints import Checkpoints

_SGD = optax.sgd(0.1)


def _state(step: int) -> TrainState:
    variables = {
        "params": {"kernel": jnp.full((2, 3), step, jnp.float32)},
        "batch_stats": {"mean": jnp.arange(3.0) + step},
    }
    return create_state(variables, optax.adam(1e-3)).replace(step=jnp.int32(step))


def _same(a: TrainState, b: TrainState) -> None:
    jax.tree.map(np.testing.assert_array_equal, a, b)


def test_restored_state_is_bit_exact(tmp_path: Path) -> None:
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(_state(7))
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.latest == 7
        _same(checkpoints.restore(_state(0)), _state(7))


def test_the_best_and_the_latest_checkpoints_are_kept(tmp_path: Path) -> None:
    with Checkpoints(tmp_path) as checkpoints:
        for step, metric in [(1, 0.2), (2, 0.9), (3, float("nan")), (4, 0.5), (5, None), (6, 0.6)]:
            checkpoints.save(_state(step), metric=metric)
    with Checkpoints(tmp_path) as checkpoints:
        assert (checkpoints.latest, checkpoints.best) == (6, 2)
        _same(checkpoints.restore(_state(0), 2), _state(2))
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_dir() and p.name.isdigit()) == [
        "2",
        "5",
        "6",
    ]
    sealed = sorted(p.stem for p in (tmp_path / "checksums").iterdir())
    assert sealed == ["2", "5", "6"]


def test_of_equal_metrics_the_earlier_checkpoint_is_best(tmp_path: Path) -> None:
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(_state(1), metric=0.5)
        checkpoints.save(_state(2), metric=0.5)
        assert checkpoints.best == 1


def test_a_metric_may_come_after_the_state_was_saved(tmp_path: Path) -> None:
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(_state(1), metric=0.1)
        checkpoints.save(_state(2), wait=True)
        checkpoints.save(_state(2), metric=0.3)
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.best == 2


def test_the_weights_alone_can_be_restored(tmp_path: Path) -> None:
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(_state(4))
    like = jax.eval_shape(lambda: _state(0).variables)
    with Checkpoints(tmp_path) as checkpoints:
        variables = checkpoints.restore_variables(like)
    jax.tree.map(np.testing.assert_array_equal, variables, _state(4).variables)


def test_a_run_without_checkpoints_has_no_latest_one(tmp_path: Path) -> None:
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.latest is None and checkpoints.best is None
        with pytest.raises(FileNotFoundError):
            checkpoints.restore(_state(0))


def _files(folder: Path, step: int) -> list[Path]:
    return sorted(p for p in (folder / str(step)).rglob("*") if p.is_file())


@pytest.mark.parametrize("damage", ["truncated", "flipped", "removed"])
def test_whatever_file_of_the_latest_checkpoint_is_damaged_the_one_before_is_used(
    damage: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    whole = tmp_path / "whole"
    with Checkpoints(whole) as checkpoints:
        checkpoints.save(_state(1), metric=0.1)
        checkpoints.save(_state(2), metric=0.2)
    names = [p.relative_to(whole) for p in _files(whole, 2)]
    assert len(names) > 5
    for number, name in enumerate(names):
        folder = tmp_path / str(number)
        shutil.copytree(whole, folder)
        content = (folder / name).read_bytes()
        if damage == "removed":
            (folder / name).unlink()
        elif damage == "truncated":
            (folder / name).write_bytes(content[: len(content) // 2] if content else b"x")
        else:
            (folder / name).write_bytes(bytes([content[0] ^ 1]) + content[1:] if content else b"x")
        with Checkpoints(folder) as checkpoints:
            assert (checkpoints.latest, checkpoints.best) == (1, 1), name
            _same(checkpoints.restore(_state(0)), _state(1))
            checkpoints.save(_state(2), metric=0.3)
        said = capsys.readouterr().out
        assert f"{folder / '2'} is damaged ({name.relative_to('2')}" in said
        with Checkpoints(folder) as checkpoints:
            assert checkpoints.best == 2
            _same(checkpoints.restore(_state(0)), _state(2))


def test_a_disk_that_is_full_leaves_the_checkpoint_before(tmp_path: Path) -> None:
    """No file may grow over 20 kB here, as if the disk ended there."""
    big = create_state(
        {"params": {"kernel": np.random.default_rng(0).random((300, 300), np.float32)}}, _SGD
    )
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(big.replace(step=jnp.int32(1)), wait=True)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
        with (
            pytest.raises(OSError, match="could not be written"),
            Checkpoints(tmp_path) as checkpoints,
        ):
            checkpoints.save(big.replace(step=jnp.int32(2)), wait=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.latest == 1
        _same(checkpoints.restore(big), big.replace(step=jnp.int32(1)))


def test_a_metric_that_comes_late_leaves_the_checkpoint_as_it_lies(tmp_path: Path) -> None:
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(_state(1), metric=0.1)
        checkpoints.save(_state(2), wait=True)
        before = {path: path.stat().st_ino for path in _files(tmp_path, 2)}
        checkpoints.save(_state(2), metric=0.9, wait=True)
        assert {path: path.stat().st_ino for path in _files(tmp_path, 2)} == before
        assert checkpoints.best == 2
        for step in (3, 4, 5):
            checkpoints.save(_state(step), metric=0.3)
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.best == 2 and not checkpoints.validated(2) and checkpoints.validated(5)
        _same(checkpoints.restore(_state(0), 2), _state(2))


def test_a_checkpoint_is_not_measured_by_the_checksums_of_another_of_its_step(
    tmp_path: Path,
) -> None:
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(_state(1), metric=0.1)
        checkpoints.save(_state(2), wait=True)
    sealed = tmp_path / "checksums" / "2.json"
    before = sealed.read_text()
    shutil.rmtree(tmp_path / "2")
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(_state(2))
        assert not sealed.exists() or sealed.read_text() != before


def test_a_whole_checkpoint_is_used_though_its_checksums_are_damaged(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(_state(1), metric=0.1)
    (tmp_path / "checksums" / "1.json").write_text("{")
    with Checkpoints(tmp_path) as checkpoints:
        _same(checkpoints.restore(_state(0)), _state(1))
    said = capsys.readouterr().out
    assert "1.json is damaged" in said and "without being checked" in said
