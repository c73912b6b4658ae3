"""Steps whose numbers are not finite: nothing of them is kept, and the run stops or goes on."""

import json
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from batches import random_batch
from flax import linen as nn
from small_network import small_network

from resunet_lc_jax.devices import parallel
from resunet_lc_jax.learning import steps
from resunet_lc_jax.learning.state import create_state, init_variables
from resunet_lc_jax.models import Network, Outputs
from resunet_lc_jax.models.shapes import Index, LeadPresent, Signal
from resunet_lc_jax.runs.watch import Watch

_MODEL = small_network()


def _spoiled(batch: dict, row: int) -> dict:
    batch["lead_mean"][row] = np.nan
    return batch


@pytest.mark.eight_devices
@pytest.mark.parametrize(("mode", "count"), [("auto", 1), ("jit", 8), ("pmap", 8)])
def test_a_step_that_is_not_finite_changes_its_number_alone(mode: str, count: int) -> None:
    devices = parallel.choose_devices(mode, jax.devices()[:count])
    tx = optax.adam(1e-2)
    step = partial(
        steps.train_step,
        model=_MODEL.over(devices.axis_name),
        tx=tx,
        seed=0,
        average_decay=0.9,
        axis_name=devices.axis_name,
    )
    compiled = parallel.compile_train_step(step, devices)
    variables = init_variables(_MODEL, seed=0, num_leads=12, length=128)
    state = parallel.place_state(create_state(variables, tx, average=True), devices)
    for number in range(4):
        before = jax.device_get(state)
        batch = random_batch(number, size=8)
        if number == 2:
            batch = _spoiled(batch, row=5)  # on one device of eight
        state, values = compiled(state, parallel.place_batch(batch, devices))
        assert bool(values["finite"]) == (number != 2)
        after = jax.device_get(state)
        assert int(after.step) == number + 1
        same = jax.tree.map(np.array_equal, before.replace(step=0), after.replace(step=0))
        assert all(jax.tree.leaves(same)) == (number == 2)


class _Linear(Network):
    """A network that compiles in no time."""

    @nn.compact
    def outputs(
        self, signal: Signal, lead_present: LeadPresent, train: bool, index: Index | None
    ) -> Outputs:
        logits = nn.Dense(26)(signal.mean(-1))
        return Outputs(logits, nn.sigmoid(logits))


@pytest.mark.parametrize("rate", [np.nan, np.inf, 3e38])
def test_an_update_that_is_not_finite_reaches_no_parameter(rate: float) -> None:
    tx = optax.chain(optax.scale(100.0), optax.sgd(lambda count: jnp.where(count < 1, 1e-3, rate)))
    step = jax.jit(partial(steps.train_step, model=_Linear(), tx=tx, seed=0, average_decay=0.9))
    batch = random_batch(0, size=8)
    inputs = jnp.zeros((8, 12, 128)), jnp.ones((8, 12))
    variables = _Linear().init(jax.random.key(0), *inputs)
    state, values = step(create_state(variables, tx, average=True), batch)
    assert values["finite"]
    after, values = step(state, random_batch(1, size=8))
    assert np.isfinite(values["loss"]) and np.isfinite(values["gradient_norm"])
    assert not values["finite"] and int(after.step) == 2
    same = jax.tree.map(np.array_equal, state.replace(step=0), after.replace(step=0))
    assert all(jax.tree.leaves(same))


def test_what_is_said_of_an_update_that_is_not_finite_is_not_that_the_loss_was(
    tmp_path: Path,
) -> None:
    run = _Run(tmp_path, allowed=0)
    values = {"loss": np.float32(0.7), "gradient_norm": np.float32(2), "finite": False}
    run.watch.follow(1, values, ["A0001"])
    with pytest.raises(FloatingPointError, match="step 1 would leave a state that is not finite"):
        run.watch.settle()


def _values(finite: bool) -> dict:
    number = 0.5 if finite else np.nan
    return {"loss": np.float32(number), "gradient_norm": np.float32(2), "finite": finite}


class _Run:
    """A watched run whose steps are finite or not, as they are told."""

    def __init__(self, workdir: Path, *, step: int = 0, allowed: int) -> None:
        self.rows: list[tuple[int, dict]] = []
        self.said: list[str] = []
        self.step = step
        self.watch = Watch(
            workdir,
            step=step,
            allowed=allowed,
            write=lambda step, row: self.rows.append((step, row)),
            say=self.said.append,
        )

    def go_on(self, *finite: bool) -> None:
        for value in finite:
            self.step += 1
            self.watch.follow(self.step, _values(value), [f"A{self.step:04}", "B0001"])


def test_a_run_stops_at_once_and_names_the_step_and_its_records(tmp_path: Path) -> None:
    run = _Run(tmp_path, allowed=0)
    run.go_on(True, True, False)
    with pytest.raises(FloatingPointError, match=r"step 3 .*loss nan.*A0003, B0001.*not_finite"):
        run.watch.settle()
    (row,) = json.loads((tmp_path / "not_finite.json").read_text())
    assert row == {"step": 3, "loss": "nan", "gradient_norm": 2.0, "records": ["A0003", "B0001"]}
    assert run.rows == []


def test_a_bad_step_is_found_two_steps_later_without_being_asked_for(tmp_path: Path) -> None:
    run = _Run(tmp_path, allowed=0)
    run.go_on(False, True)
    with pytest.raises(FloatingPointError, match="step 1 "):
        run.go_on(True)


def test_steps_are_skipped_and_counted_until_too_many_come_in_a_row(tmp_path: Path) -> None:
    run = _Run(tmp_path, allowed=2)
    run.go_on(False, True, False, False, True, False, False)
    run.watch.settle()
    assert run.rows == [
        (step, {"skipped_steps": n}) for n, step in enumerate((1, 3, 4, 6, 7), start=1)
    ]
    assert len(run.said) == 5 and "A0006" in run.said[3]
    run.go_on(False)
    with pytest.raises(FloatingPointError, match="step 8 "):
        run.watch.settle()


def test_a_run_taken_up_again_counts_as_it_would_have_without_the_interruption(
    tmp_path: Path,
) -> None:
    first = _Run(tmp_path, allowed=2)
    first.go_on(True, False, False, True, False)
    first.watch.settle()
    # The checkpoint was of step 3: what came after it comes again.
    second = _Run(tmp_path, step=3, allowed=2)
    second.go_on(True, False)
    second.watch.settle()
    assert second.rows == [(5, {"skipped_steps": 3})]
    assert [row["step"] for row in json.loads((tmp_path / "not_finite.json").read_text())] == [
        2,
        3,
        5,
    ]
    third = _Run(tmp_path, step=3, allowed=2)
    third.go_on(False)
    with pytest.raises(FloatingPointError, match="step 4 "):
        third.watch.settle()
