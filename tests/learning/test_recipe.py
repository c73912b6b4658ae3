"""Losses, augmentation and optimiser as a config describes them."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from batches import random_batch
from ml_collections import ConfigDict

from configs import default
from resunet_lc_jax.learning import recipe, steps
from resunet_lc_jax.learning.state import create_state, init_variables
from resunet_lc_jax.measures import metrics
from resunet_lc_jax.models import Outputs, create_model
from resunet_lc_jax.runs import settings
from tfds_physionet.diagnoses import ANNOTATED, CLASS_NAMES, DATABASES

LOSSES = ("bce", "focal", "asymmetric", "isibrno")


def _config(**changes: object) -> ConfigDict:
    config = default.get_config()
    config.update_from_flattened_dict(changes)
    return config


def _recipe(labels: np.ndarray | None = None, **changes: object) -> recipe.Recipe:
    labels = np.zeros((0, 26)) if labels is None else labels
    return settings.recipe(
        _config(**changes),
        steps_per_epoch=5,
        sampling_rate=500.0,
        labels=labels,
        databases=np.full(len(labels), "georgia"),
    )


def _loss(labels: np.ndarray | None = None, **changes: object) -> steps.Loss:
    return _recipe(labels, **{"train.batch_size": 16, **changes}).loss


def _outputs_and_batch(size: int = 16) -> tuple[Outputs, dict]:
    rng = np.random.default_rng(0)
    logits = jnp.asarray(rng.normal(0, 2, (size, 26)), jnp.float32)
    scores = jnp.asarray(rng.random((size, 26)), jnp.float32)
    batch = {
        "labels": jnp.asarray(rng.random((size, 26)) < 0.3, jnp.float32),
        "mask": jnp.ones(size),
        "annotated": jnp.asarray(rng.random((size, 26)) < 0.6),
    }
    batch["annotated"] |= batch["labels"] > 0
    return Outputs(logits, scores), batch


@pytest.mark.eight_devices
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("name", LOSSES)
def test_mean_over_eight_devices_is_the_loss_of_the_whole_batch(name: str, masked: bool) -> None:
    outputs, batch = _outputs_and_batch()
    loss = _loss(**{"loss.name": name, "loss.mask_unannotated": masked})
    whole, gradient = jax.value_and_grad(loss)(outputs, batch)

    def on_a_device(outputs: Outputs, batch: dict) -> jax.Array:
        return jax.lax.pmean(loss(outputs, batch), "data")

    parts = jax.tree.map(lambda x: x.reshape(8, 2, *x.shape[1:]), (outputs, batch))
    np.testing.assert_allclose(
        jax.pmap(on_a_device, axis_name="data")(*parts), np.full(8, whole), rtol=2e-6
    )
    # Each device's own gradient, before the mean of all, is eight times its part of the whole's.
    found = jax.vmap(jax.grad(loss))(*parts)
    for ours, expected in zip(found, gradient, strict=True):
        np.testing.assert_allclose(ours.reshape(16, 26) / 8, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", LOSSES)
def test_a_class_that_a_source_never_gives_has_no_gradient_there(name: str) -> None:
    outputs, batch = _outputs_and_batch()
    masked = _loss(**{"loss.name": name, "loss.mask_unannotated": True})
    unknown = ~np.asarray(batch["annotated"])
    gradients = jax.grad(masked)(outputs, batch)
    for gradient in gradients:
        assert (np.asarray(gradient)[unknown] == 0).all()
    assert (np.asarray(gradients.logits)[~unknown] != 0).mean() > 0.9
    plain = jax.grad(_loss(**{"loss.name": name}))(outputs, batch)
    assert (np.asarray(plain.logits)[unknown] != 0).mean() > 0.9


def test_the_winners_loss_is_that_of_its_code(oracle) -> None:
    arrays = np.load(oracle / "models" / "isibrno_losses.npz")
    logits, labels, scores = (
        jnp.asarray(arrays[name], jnp.float32) for name in ("logits", "targets", "probs")
    )
    loss = _loss(**{"loss.name": "isibrno", "train.batch_size": len(labels)})
    batch = {"labels": labels, "mask": jnp.ones(len(labels))}
    expected = arrays["bce"] - arrays["challenge"] + arrays["sparsity"]
    np.testing.assert_allclose(loss(Outputs(logits, scores), batch), expected, rtol=1e-5)


def test_balanced_weights_are_negatives_over_positives() -> None:
    labels = np.zeros((10, 26), np.uint8)
    labels[:2, 0] = labels[5:, 1] = 1
    databases = np.array(["georgia"] * 4 + ["ptb"] * 6)
    weights = recipe.balanced_weights(labels, databases, False)
    np.testing.assert_allclose(weights[:3], [4, 1, 1])
    # Of the records of ptb none says anything about a prolonged PR interval.
    sinus, prolonged = CLASS_NAMES.index("NSR"), CLASS_NAMES.index("LPR")
    labels[0, [sinus, prolonged]] = 1
    masked = recipe.balanced_weights(labels, databases, True)
    given = ANNOTATED[:, [DATABASES.index(name) for name in databases]]
    for k in (sinus, prolonged):
        counted = (given[k] | (labels[:, k] > 0)).sum()
        assert masked[k] == counted - 1
    outputs, batch = _outputs_and_batch()
    weighted = _loss(labels, **{"loss.pos_weight": "balanced"})(outputs, batch)
    assert weighted > _loss()(outputs, batch)


def test_nothing_is_changed_unless_a_knob_asks_for_it() -> None:
    assert _recipe().augment is None
    assert _recipe(**{"augment.lead_sets": (12, 2)}).augment is not None


def test_the_monitored_metric_guides_the_rate() -> None:
    made = _recipe(**{"train.schedule": "plateau", "train.plateau_patience": 2})
    validations = [{"auprc": value, "loss": 1 - value} for value in (0.3, 0.2, 0.2)]
    assert made.guide(validations).rate_factor == pytest.approx(0.1)
    assert made.guide(validations[:2]) == (1.0, False)


def _sources(seed: int, count: int = 64) -> tuple[dict, np.ndarray]:
    """Records of georgia and ptb whose labels shift their leads; and the truth.

    ptb's records are told by their last lead, and lack the labels that ptb never gives.
    """
    rng = np.random.default_rng(seed)
    batch = random_batch(seed, size=count)
    truth = batch["labels"]
    of_ptb = rng.random(count) < 0.5
    source = np.where(of_ptb, DATABASES.index("ptb"), DATABASES.index("georgia"))
    batch["signal"] += (500 * truth[:, :12, None]).astype(np.int16)
    batch["signal"][:, 11] += np.where(of_ptb, 1500, 0).astype(np.int16)[:, None]
    annotated = ANNOTATED[:, source].T
    return {**batch, "labels": truth * annotated, "annotated": annotated}, truth


def test_masking_what_a_source_never_gives_beats_taking_it_for_negative() -> None:
    model = create_model("res1d_maxpool", width=8, dropout=0.0)
    knobs = {"train.learning_rate": 5e-3, "train.drop_epochs": 0}
    test, truth = _sources(seed=1000, count=256)
    hidden = [k for k in range(11) if ANNOTATED[k, [3, 5]].tolist() == [False, True]]
    found = {}
    for masked in (False, True):
        made = _recipe(**knobs, **{"loss.mask_unannotated": masked})
        step = partial(steps.train_step, model=model, tx=made.tx, seed=0, loss=made.loss)
        step = jax.jit(step)
        state = create_state(init_variables(model, seed=0, num_leads=12, length=128), made.tx)
        for number in range(60):
            state, _ = step(state, _sources(seed=number)[0])
        scores = jax.jit(partial(steps.eval_step, model=model))(state.variables, test)
        decisions = np.asarray(scores) >= 0.5
        measured = metrics.score(truth, np.asarray(scores), decisions)
        found[masked] = [
            np.mean([measured[f"{name}_classes"][k] for k in hidden])
            for name in ("auprc", "f_measure")
        ]
    assert len(hidden) >= 5
    plain, with_mask = found[False], found[True]
    assert with_mask[0] > plain[0] + 0.05 and with_mask[1] > plain[1] + 0.2
