"""The table of knobs: what it takes, what it refuses, and in which words."""

import math
from typing import Any

import pytest
from ml_collections import ConfigDict

from configs import default
from resunet_lc_jax.runs.combinations import faults
from resunet_lc_jax.runs.config import check_config
from resunet_lc_jax.runs.flat import flatten
from resunet_lc_jax.runs.knobs import KNOBS

_NO_NUMBERS = (math.nan, math.inf, -math.inf, "many", None, True)
_FOLDS = ((0,), (11,), (), (1, 1), (1.5,), "12", 3, (True,))
_PATHS = ("", "  ", 3)
_SWITCH = (1, None, "True")
_DATABASES = ("ptb", ("",), ("ptb", "ptb"), ("ptb,ptb",), (1,), ("ptb,",), None)

# By knob: values that are taken, and values that are not.
_CASES: dict[str, tuple[tuple, tuple]] = {
    "seed": ((0, 2**32 - 1), (-1, 2**32, 1.5, None)),
    "precision": (("high", "highest"), ("bfloat16", "", None)),
    "compilation_cache": (("off", "/tmp/x"), ("", None)),
    "init_from": ((None, "runs/a"), _PATHS),
    "init_checkpoint": (("latest",), ("foo", None)),
    "model.name": (("isibrno", "resu2d_lc"), ("resnet", "", None)),
    "model.width": ((None, 1), (0, -1, 2.5, True)),
    "model.dropout": ((None, 0.0, 0.99, 0), (1.0, 1.5, -0.1, math.nan, math.inf, "many")),
    "model.unbiased_variance": ((False,), _SWITCH),
    "model.odd_lead_shift": ((True,), _SWITCH),
    "model.freeze_statistics": ((True,), _SWITCH),
    "model.dtype": (("bfloat16",), ("float16", "float64", None)),
    "model.remat": ((True,), _SWITCH),
    "data.records": ((None, "simulated", "~/x"), _PATHS),
    "data.data_dir": ((None, "x"), _PATHS),
    "data.patients": ((None, "x.csv"), _PATHS),
    "data.simulated_count": ((10,), (9, 0, -1, 10.0)),
    "data.simulated_seed": ((0,), (-1, 2**32)),
    "data.simulated_style": (("clinical",), ("Clear", "", None)),
    "data.variant": (("400hz",), ("250hz", "500", None)),
    "data.length": ((1,), (0, -1, 2**31, 4096.0)),
    "data.pad": (("left",), ("both", None)),
    "data.statistics": (("crop",), ("batch", None)),
    "data.leads": ((("V1",), ("II", "I")), ((), ("I", "I"), ("V7",), ("I,II",), "II", None)),
    "data.only_databases": (((), ("ptb", "ptb-xl"), ("ptb,ptb-xl",)), _DATABASES),
    "data.except_databases": (((), ("ptb",)), _DATABASES),
    "data.leave_out": (((), ("georgia",)), _DATABASES),
    "data.train_folds": (((1,), (8, 7)), _FOLDS),
    "data.validation_folds": (((9,),), _FOLDS),
    "data.test_folds": (((10,),), _FOLDS),
    "data.train_list": ((None,), _PATHS),
    "data.validation_list": ((None,), _PATHS),
    "data.test_list": ((None,), _PATHS),
    "data.workers": ((0, 64), (-1, 1.0)),
    "train.batch_size": ((1,), (0, -24, None)),
    "train.epochs": ((1,), (0, -1, 2**31)),
    "train.steps": ((None, 1), (0, -1)),
    "train.optimizer": (("sgd",), ("rmsprop", "Adam", None)),
    "train.learning_rate": ((1e-9, 1), (0.0, -0.1, 1e39, *_NO_NUMBERS)),
    "train.schedule": (("plateau",), ("cosine", None)),
    "train.drop_factor": ((1.0, 1e-6), (0.0, 1.1, -1.0, *_NO_NUMBERS)),
    "train.drop_epochs": ((0,), (-1,)),
    "train.plateau_patience": ((0,), (-1,)),
    "train.plateau_lowest": ((0.0, 1.0), (-0.1, 1.1, *_NO_NUMBERS)),
    "train.stop_patience": ((0,), (-1,)),
    "train.monitor": (("challenge_metric",), ("accuracy", None)),
    "train.clip_norm": ((0.0, 1e-3), (-1.0, *_NO_NUMBERS)),
    "train.accumulate_steps": ((1, 24), (0, -1)),
    "train.ema_decay": ((0.0, 0.9999), (1.0, -0.1, *_NO_NUMBERS)),
    "train.skip_not_finite": ((0,), (-1,)),
    "train.log_every_steps": ((0,), (-1,)),
    "train.checkpoint_every_steps": ((0,), (-1,)),
    "loss.name": (("focal", "asymmetric", "isibrno"), ("hinge", None)),
    "loss.pos_weight": (("balanced",), ("auto", None)),
    "loss.mask_unannotated": ((True,), _SWITCH),
    "loss.focal_gamma": ((0.0,), (-0.1, *_NO_NUMBERS)),
    "loss.focal_alpha": ((0.0, 1.0), (-0.1, 1.1, *_NO_NUMBERS)),
    "loss.asymmetric_gamma_positive": ((0.0,), (-0.1, *_NO_NUMBERS)),
    "loss.asymmetric_gamma_negative": ((0.0,), (-0.1, *_NO_NUMBERS)),
    "loss.asymmetric_margin": ((0.0, 0.9), (1.0, -0.1, *_NO_NUMBERS)),
    "augment.time_shift_s": ((0.0, 8.0), (-0.1, 8.2, *_NO_NUMBERS)),
    "augment.amplitude": ((0.0, 1.0), (-0.1, 1.1, *_NO_NUMBERS)),
    "augment.wander": ((0.0, 3.0), (-0.1, *_NO_NUMBERS)),
    "augment.noise": ((0.0, 3.0), (-0.1, *_NO_NUMBERS)),
    "augment.lead_sets": (((), (12,), (2, 12)), ((5,), (12, 12), ("12",), 12, None)),
    "augment.lead_drop": ((0.0, 0.9), (1.0, 1.5, -0.1, *_NO_NUMBERS)),
    "augment.mixup": ((0.0, 0.4), (-1.0, *_NO_NUMBERS)),
    "eval.batch_size": ((1,), (0, -1)),
    "eval.windows": (("first", "random"), ("fixed", None)),
    "eval.thresholds": (("reference", "challenge", "fixed"), ("f1_grid", "best", None)),
    "eval.other_records": ((True,), _SWITCH),
    "eval.seen_records": ((True,), _SWITCH),
    "eval.bootstrap_replicates": ((1,), (0, -1)),
    "parallel.mode": (("jit", "pmap"), ("mesh", None)),
    "parallel.batch_statistics": (("device",), ("local", None)),
    "parallel.coordinator": ((None,), ("", 3)),
    "parallel.num_processes": ((None,), (0, -1)),
    "parallel.process_id": ((None,), (-1,)),
}


def _values(**changes: Any) -> dict[str, Any]:
    return flatten(default.get_config().to_dict()) | {
        k.replace("__", "."): v for k, v in changes.items()
    }


@pytest.mark.parametrize(
    ("knob", "value"), [(knob, value) for knob, (taken, _) in _CASES.items() for value in taken]
)
def test_a_value_just_inside_is_taken(knob: str, value: object) -> None:
    assert faults(_values() | {knob: value}) == []


@pytest.mark.parametrize(
    ("knob", "value"), [(knob, value) for knob, (_, refused) in _CASES.items() for value in refused]
)
def test_a_value_just_outside_is_refused_in_one_sentence(knob: str, value: object) -> None:
    (sentence,) = faults(_values() | {knob: value})
    assert sentence.startswith(f"config.{knob} is {value!r}; choose ")


def test_the_table_has_a_row_for_each_knob_and_a_knob_for_each_row() -> None:
    assert set(KNOBS) == set(_values()) == set(_CASES)


def test_each_fault_has_its_line_and_one_message_has_them_all() -> None:
    config = default.get_config()
    wrong = {"train.learning_rate": -1.0, "augment.noise": math.nan, "data.train_folds": (1, 9)}
    config.update_from_flattened_dict(wrong)
    with pytest.raises(ValueError) as caught:
        check_config(config)
    first, *lines = str(caught.value).splitlines()
    assert first == "3 things are wrong in the config:"
    assert lines == [
        "  config.train.learning_rate is -1.0; choose a finite number above 0",
        "  config.augment.noise is nan; choose a finite number from 0",
        "  fold 9 is in config.data.train_folds and in validation_folds; a record serves only one "
        "of training, validation (best epoch, thresholds) and test",
    ]


_TOGETHER: list[tuple[dict[str, Any], str]] = [
    ({"train.accumulate_steps": 7}, "which 7 parts (config.train.accumulate_steps) do not divide"),
    ({"augment.mixup": 0.4, "train.batch_size": 7}, "config.augment.mixup pairs the rows"),
    ({"loss.name": "focal", "loss.pos_weight": "balanced"}, "which the focal loss does not take"),
    (
        {"loss.name": "asymmetric", "loss.pos_weight": "balanced"},
        "which the asymmetric loss does not take",
    ),
    (
        {"augment.lead_sets": (12, 2), "data.leads": ("I", "II")},
        "the set of 12 leads needs III, aVR,",
    ),
    (
        {"augment.time_shift_s": 5.0, "data.length": 400, "data.variant": "100hz"},
        "choose less than a crop, which is 4 s (config.data.length)",
    ),
    ({"data.train_list": "a.csv"}, "config.data.train_list is given, but config.data.test_list"),
    ({"data.validation_list": "a.csv"}, "but config.data.train_list and config.data.test_list not"),
    (
        {"data.train_list": "a", "data.test_list": "b", "data.leave_out": ("ptb",)},
        "give config.data.leave_out or lists of records, not both",
    ),
    ({"data.test_folds": (1,)}, "fold 1 is in config.data.train_folds and in test_folds"),
    ({"data.validation_folds": (10,)}, "fold 10 is in config.data.validation_folds and in test_"),
    (
        {"data.only_databases": ("ptb,georgia",), "data.except_databases": ("ptb",)},
        "ptb is in config.data.only_databases and in except_databases",
    ),
    (
        {"data.leave_out": ("ptb",), "data.except_databases": ("ptb",)},
        "ptb is in config.data.leave_out and in except_databases",
    ),
    (
        {"data.leave_out": ("ptb",), "data.only_databases": ("georgia",)},
        "config.data.leave_out names ptb, which config.data.only_databases lacks",
    ),
    (
        {"parallel.batch_statistics": "device", "parallel.mode": "jit"},
        "config.parallel.batch_statistics='device' is there under pmap alone",
    ),
    ({"parallel.coordinator": "node:1"}, "coordinator, num_processes and process_id go together"),
    ({"parallel.process_id": 0}, "coordinator, num_processes and process_id go together"),
    (
        {"parallel.coordinator": "node:1", "parallel.num_processes": 2, "parallel.process_id": 2},
        "config.parallel.process_id is 2; choose one of 0 to 1",
    ),
    (
        {
            "parallel.coordinator": "node:1",
            "parallel.num_processes": 2,
            "parallel.process_id": 0,
            "parallel.mode": "pmap",
        },
        "config.parallel.mode='pmap' serves one process",
    ),
    (
        {"parallel.coordinator": "node:1", "parallel.num_processes": 5, "parallel.process_id": 0},
        "config.train.batch_size is 24, which 5 processes do not divide",
    ),
]


@pytest.mark.parametrize(("changes", "message"), _TOGETHER)
def test_knobs_that_do_not_go_together_are_refused(changes: dict, message: str) -> None:
    (sentence,) = faults(_values() | changes)
    assert message in sentence


@pytest.mark.parametrize(
    "changes",
    [
        {"train.accumulate_steps": 3},
        {"augment.mixup": 0.4},
        {"loss.name": "isibrno", "loss.pos_weight": "balanced"},
        {"augment.lead_sets": (2,), "data.leads": ("II", "I")},
        {"data.train_list": "a", "data.test_list": "b", "data.train_folds": (9,)},
        {"data.leave_out": ("ptb",), "data.test_folds": (1,)},
        {"data.leave_out": ("ptb",), "data.only_databases": ("ptb,georgia",)},
        {"parallel.batch_statistics": "device", "parallel.mode": "pmap"},
        {"parallel.coordinator": "node:1", "parallel.num_processes": 2, "parallel.process_id": 1},
        {"train.steps": 5, "train.epochs": 1},
    ],
)
def test_knobs_that_go_together_are_taken(changes: dict) -> None:
    assert faults(_values() | changes) == []


def test_a_fault_is_told_once_and_not_again_for_its_combinations() -> None:
    (sentence,) = faults(_values() | {"train.batch_size": 0, "augment.mixup": 0.4})
    assert sentence.startswith("config.train.batch_size is 0")


def test_what_is_no_knob_and_a_knob_that_is_not_there_are_told() -> None:
    values = _values() | {"model.depth": 3}
    del values["seed"]
    assert faults(values) == [
        "config.seed is None; choose a whole number from 0 to 4294967295",
        "config.model.depth is no knob of configs/default.py",
    ]


def test_a_config_that_was_built_by_hand_is_checked_like_any_other() -> None:
    config = ConfigDict(default.get_config().to_dict())
    config.data.only_databases = ("ptb",)
    check_config(config)
    config.eval.bootstrap_replicates = 0
    with pytest.raises(ValueError, match="bootstrap_replicates is 0; choose a whole number from 1"):
        check_config(config)
