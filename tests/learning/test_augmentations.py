"""What each random change of the training examples does, and what it leaves alone."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from batches import random_batch

from resunet_lc_jax.data.leads import LEAD_SETS, set_mask
from resunet_lc_jax.devices import parallel
from resunet_lc_jax.learning import augmentations, steps
from tfds_physionet.reading.signals import STANDARD_LEADS

_SETS = np.array([set_mask(size, STANDARD_LEADS) for size in LEAD_SETS])
CHANGES = {
    "time_shift": partial(augmentations.time_shift, samples=20),
    "amplitude_scaling": partial(augmentations.amplitude_scaling, spread=0.3),
    "baseline_wander": partial(augmentations.baseline_wander, amplitude=0.5, sampling_rate=100.0),
    "gaussian_noise": partial(augmentations.gaussian_noise, std=0.1),
    "random_lead_set": partial(augmentations.random_lead_set, sets=_SETS),
    "lead_dropping": partial(augmentations.lead_dropping, rate=0.4),
}
LEADS = ("random_lead_set", "lead_dropping")


def _batch(size: int = 8) -> dict:
    batch = random_batch(0, size=size, length=256)
    batch["signal"][:, 3] = steps.MISSING  # an absent lead
    batch["lead_present"][:, 3] = False
    batch["annotated"] = np.random.default_rng(0).random((size, 26)) < 0.8
    return jax.tree.map(np.array, dict(steps.normalise(batch)))


def _placed(batch: dict) -> dict:
    return jax.tree.map(jnp.asarray, batch)


def _change(name: str, batch: dict, seed: int = 0) -> dict:
    key = jax.random.key(seed)
    changed = augmentations.change_rows(key, _placed(batch), changes=[CHANGES[name]])
    return jax.tree.map(np.asarray, dict(changed))


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_touches_the_signal_alone_and_never_what_is_missing(name: str) -> None:
    before, after = _batch(), _change(name, _batch())
    assert (after["signal"] != before["signal"]).any(axis=(1, 2)).sum() >= 6
    free = {"signal"} | ({"known"} if name == "time_shift" else set())
    free |= {"known", "lead_present"} if name in LEADS else set()
    for field in before.keys() - free:
        np.testing.assert_array_equal(after[field], before[field], err_msg=field)
    assert (after["signal"][~after["known"]] == 0).all()
    assert (after["signal"][:, 3] == 0).all() and not after["lead_present"][:, 3].any()
    assert after["signal"].dtype == before["signal"].dtype


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_depends_on_the_key_and_on_the_rows_global_index_alone(name: str) -> None:
    batch = _batch()
    whole = _change(name, batch)
    part = _change(name, {field: values[5:7] for field, values in batch.items()})
    np.testing.assert_array_equal(whole["signal"][5:7], part["signal"])
    assert (whole["signal"] != _change(name, batch, seed=1)["signal"]).any()


def test_rows_with_the_same_signal_are_changed_differently() -> None:
    batch = _batch()
    batch["signal"][:], batch["known"][:] = batch["signal"][0], batch["known"][0]
    for name in CHANGES:
        changed = _change(name, batch)["signal"]
        assert len({row.tobytes() for row in changed}) > 2, name


def test_noise_has_the_standard_deviation_that_was_asked_for() -> None:
    before, after = _batch(), _change("gaussian_noise", _batch())
    added = (after["signal"] - before["signal"])[before["known"]]
    assert added.std() == pytest.approx(0.1, rel=0.05) and abs(added.mean()) < 0.005


def test_wander_is_slow_and_no_larger_than_its_amplitude() -> None:
    before, after = _batch(), _change("baseline_wander", _batch())
    added = (after["signal"] - before["signal"])[:, 1]
    assert 0.1 < np.abs(added).max() <= 0.5 + 1e-5
    steepest = 0.5 * 2 * np.pi * 0.5 / 100  # of 0.5 Hz at 100 Hz
    assert np.abs(np.diff(added)).max() <= steepest + 1e-5


def test_scaling_keeps_the_leads_proportions() -> None:
    before, after = _batch(), _change("amplitude_scaling", _batch())
    for row in range(8):
        known = before["signal"][row] != 0
        ratio = after["signal"][row][known] / before["signal"][row][known]
        assert np.ptp(ratio) < 1e-5 and 0.7 <= ratio.mean() <= 1.3


def test_a_shift_moves_all_leads_of_a_row_together() -> None:
    before, after = _batch(), _change("time_shift", _batch())
    shifts = set()
    for row in range(8):
        padded = np.pad(before["signal"][row], ((0, 0), (20, 20)))
        fitting = [
            shift
            for shift in range(-20, 21)
            if np.array_equal(after["signal"][row], padded[:, 20 - shift : 276 - shift])
        ]
        assert len(fitting) == 1
        shifts.add(fitting[0])
    assert len(shifts) > 4 and min(shifts) < 0 < max(shifts)


def test_random_lead_sets_are_those_of_the_challenge() -> None:
    batch = _batch(64)
    batch["lead_present"][:] = True
    batch["signal"][:, 3] = 1.0
    after = _change("random_lead_set", batch)
    sizes = after["lead_present"].sum(axis=1)
    assert set(sizes) == {12, 6, 4, 3, 2}
    for size, present in zip(sizes, after["lead_present"], strict=True):
        names = [lead for lead, there in zip(STANDARD_LEADS, present, strict=True) if there]
        assert set(names) == set(LEAD_SETS[int(size)])
    np.testing.assert_array_equal((after["signal"] != 0).any(axis=2), after["lead_present"])


def test_dropping_leads_leaves_at_least_one() -> None:
    drop = partial(augmentations.lead_dropping, rate=0.95)
    batch = _batch(64)
    after = augmentations.change_rows(jax.random.key(0), _placed(batch), changes=[drop])
    kept = np.asarray(after["lead_present"]).sum(axis=1)
    assert kept.min() >= 1 and (kept == 1).any()


def test_mixup_mixes_signals_and_labels_of_neighbours_with_one_weight() -> None:
    batch = _batch()
    mixed = jax.tree.map(
        np.asarray, augmentations.mixup(jax.random.key(0), _placed(batch), alpha=0.4)
    )
    partner = np.array([1, 0, 3, 2, 5, 4, 7, 6])
    weights = []
    for row in range(8):
        a, b = batch["signal"][row], batch["signal"][partner[row]]
        weight = ((mixed["signal"][row] - b) * (a - b)).sum() / ((a - b) ** 2).sum()
        np.testing.assert_allclose(mixed["signal"][row], weight * a + (1 - weight) * b, atol=1e-5)
        labels, others = batch["labels"][row], batch["labels"][partner[row]]
        np.testing.assert_allclose(
            mixed["labels"][row], weight * labels + (1 - weight) * others, atol=1e-5
        )
        weights.append(weight)
    assert min(weights) >= 0.5 - 1e-5 and np.ptp(weights) > 0.05
    annotated = batch["annotated"] & batch["annotated"][partner]
    np.testing.assert_array_equal(mixed["annotated"], annotated)
    np.testing.assert_array_equal(mixed["known"], batch["known"] | batch["known"][partner])
    with pytest.raises(ValueError, match="a device holds 3 of them"):
        augmentations.mixup(jax.random.key(0), _placed(_batch(3)), alpha=0.4)


@pytest.mark.eight_devices
def test_augmented_batches_do_not_depend_on_the_number_of_devices() -> None:
    batch = random_batch(0, size=16, length=64)
    batch["annotated"] = np.ones((16, 26), bool)

    def augment(state: jax.Array, batch: dict) -> jax.Array:
        rows = augmentations.change_rows(
            jax.random.key(3), steps.normalise(batch), changes=list(CHANGES.values())
        )
        mixed = augmentations.mixup(jax.random.key(4), rows, alpha=0.4)
        return jnp.concatenate([mixed["signal"].reshape(len(batch["index"]), -1)], axis=1)

    one = np.asarray(jax.jit(augment)(jnp.zeros(()), batch))
    for mode in ("jit", "pmap"):
        devices = parallel.choose_devices(mode)
        compiled = parallel.compile_eval_step(augment, devices)
        found = compiled(
            parallel.place_state(jnp.zeros(()), devices), parallel.place_batch(batch, devices)
        )
        np.testing.assert_allclose(found, one, atol=2e-6)
