"""Trains, evaluates and applies ResUNet-LC and the networks it is compared with.

  python main.py --config=configs/quickstart.py --workdir=W       no data needed, minutes
  python main.py --config=configs/default.py --config.data.records=DIR --workdir=W
  python main.py --mode=evaluate --workdir=W [--split=test] [--config.data.records=DIR]
  python main.py --mode=evaluate --workdir=W --leads=2,3,4,6,12
  python main.py --mode=predict [--workdir=W] --input=DIR --output=OUT
  python main.py --mode=compare --runs=W1,TABLE,A:W2+W3,... --output=OUT [--split=test]
  python main.py --mode=crossvalidate --config=C --workdir=W [--folds=1,2,...]
  python main.py --mode=import_torch --config=C --torch_checkpoint=F --workdir=W
  python main.py --mode=export_torch --workdir=W --output=F
  python main.py --mode=export --workdir=W --output=model.onnx

--workdir=simulated and --workdir=finetuned are networks of this package (a folder of that name is
./simulated), the second of which predicts without a workdir; their reports go to --output.
With --runs=W1,W2,... [--vote=mean|majority] evaluate and predict take these runs as an ensemble.
The same training command, run again, takes an interrupted run up where it stopped.
Every knob stands in configs/default.py with its unit and reason. --config=quickstart stands for
configs/quickstart.py, wherever the command is given; a file of yours comes first.
Exit status: 0 done, 1 nothing could be done or the numbers are not finite, 2 a wrong command or
input, 75 stopped by a signal and the same command goes on, 130 stopped by Ctrl-C.
"""

import os
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from absl import app, flags, logging
from ml_collections import ConfigDict, config_flags

from resunet_lc_jax.command_line.config_files import with_config_files
from resunet_lc_jax.command_line.ending import End, end_of, keep_writing
from resunet_lc_jax.devices import channel
from resunet_lc_jax.pretrained import BETTER, located, written_to

_AGAIN_S = 10.0  # what is tidied up after a signal takes less


@dataclass(frozen=True)
class Mode:
    """What --mode names.

    Attributes:
      run: Does it and returns the exit status. Each imports what it needs, and no more, so that
        --help and a wrong flag answer at once.
      goes_on: Whether the same command goes on where it was stopped.
    """

    run: Callable[[], int]
    goes_on: bool = False


def _train() -> int:
    config, workdir = _given_config(), _own_folder()
    from resunet_lc_jax.train import train

    return train(config, workdir)


def _evaluate() -> int:
    from resunet_lc_jax import ensemble

    if together := _ensemble():
        if _LEADS.value:
            raise ValueError("--leads evaluates one run; give its --workdir without --runs")
        configs = {run: _config_of(run) for run in together.runs}
        ensemble.evaluate_ensemble(together, configs, _own_folder(), split=_SPLIT.value)
        return 0
    from resunet_lc_jax.evaluate import evaluate, evaluate_leads

    run, output = _run(), _path(_OUTPUT) if _OUTPUT.value else None
    if _LEADS.value:
        sizes = _numbers(_LEADS)
        evaluate_leads(_config_of(run), run, split=_SPLIT.value, sizes=sizes, output=output)
    else:
        evaluate(_config_of(run), run, split=_SPLIT.value, output=output)
    return 0


def _predict() -> int:
    from resunet_lc_jax import ensemble

    where, how = (_path(_INPUT), _path(_OUTPUT)), {"strict": _STRICT.value, "facts": _facts()}
    if together := _ensemble():
        configs = {run: _config_of(run) for run in together.runs}
        return ensemble.predict_ensemble(together, configs, _own_folder(), *where, **how)
    from resunet_lc_jax.predict import predict

    if _WORKDIR.value is None:
        print(f"{BETTER!r} predicts, a network of this package; its card: {_run() / 'card.md'}")
    return predict(_config_of(_run()), _run(), *where, **how)


def _compare() -> int:
    from resunet_lc_jax.compare import compare
    from resunet_lc_jax.shipping import evaluated

    output, split = _path(_OUTPUT), _SPLIT.value
    runs = evaluated(_needed(_RUNS), _config_of, output, split=split)
    print(compare(runs, output, split=split, seen_records=_CONFIG.value.eval.seen_records))
    return 0


def _crossvalidate() -> int:
    config, workdir = _given_config(), _own_folder()
    from resunet_lc_jax.crossvalidate import crossvalidate

    return crossvalidate(config, workdir, _numbers(_FOLDS))


def _import_torch() -> int:
    from resunet_lc_jax.exchange import import_torch

    import_torch(_given_config(files=False), _own_folder(), _path(_TORCH))
    return 0


def _export_torch() -> int:
    from resunet_lc_jax.exchange import export_torch

    export_torch(_config_of(_run()), _run(), _path(_OUTPUT))
    return 0


def _export() -> int:
    from resunet_lc_jax.export import export

    export(_config_of(_run()), _run(), _path(_OUTPUT))
    return 0


MODES = {
    "train": Mode(_train, goes_on=True),
    "evaluate": Mode(_evaluate),
    "predict": Mode(_predict, goes_on=True),
    "compare": Mode(_compare),
    "crossvalidate": Mode(_crossvalidate, goes_on=True),
    "import_torch": Mode(_import_torch),
    "export_torch": Mode(_export_torch),
    "export": Mode(_export),
}

_CONFIG = config_flags.DEFINE_config_file(
    "config", None, "a file, or a name of configs/; --config.x.y=z changes one of its knobs"
)
_MODE = flags.DEFINE_enum("mode", "train", list(MODES), "what to do")
_WORKDIR = flags.DEFINE_string(
    "workdir", None, "the run's folder, or a network of this package: simulated or finetuned"
)
_SPLIT = flags.DEFINE_string("split", "test", "evaluate: train, validation, test, all or fold_N")
_INPUT = flags.DEFINE_string(
    "input", None, "predict: an ECG, a folder of them at any depth, or a list (.txt, .csv)"
)
_ARRAY_LEADS = flags.DEFINE_list(
    "array_leads", None, "predict: names of the leads of arrays, in their order, as I,II,V1"
)
_ARRAY_RATE = flags.DEFINE_float("array_rate", None, "predict: sampling rate of arrays, in Hz")
_ARRAY_UNIT = flags.DEFINE_string("array_unit", None, "predict: unit of arrays: mV, uV, V or nV")
_STRICT = flags.DEFINE_bool(
    "strict", False, "predict: refuse records whose samples their header's checksums contradict"
)
_OUTPUT = flags.DEFINE_string("output", None, "the folder or file to write to")
_RUNS = flags.DEFINE_list(
    "runs",
    None,
    "folders of runs; compare: evaluated ones, score tables, NAME:ONE+TWO; first the baseline",
)
_VOTE = flags.DEFINE_enum(
    "vote", "mean", ["mean", "majority"], "of several --runs: mean score or majority of decisions"
)
_FOLDS = flags.DEFINE_list("folds", list(map(str, range(1, 11))), "crossvalidate: folds to test")
_LEADS = flags.DEFINE_list("leads", None, "evaluate: sizes of reduced lead sets, as 2,3,4,6,12")
_TORCH = flags.DEFINE_string(
    "torch_checkpoint", None, "import_torch: a .pt, .pth, .safetensors or .npz file"
)
_TRACEBACK = flags.DEFINE_bool("traceback", False, "on an error, show where it arose")


def run() -> None:
    """The command `resunet-lc`, and main.py: whatever escapes becomes one line and a status."""
    keep_writing()
    try:
        app.run(main, flags_parser=parse_flags)
    except (Exception, KeyboardInterrupt) as error:
        signal.setitimer(signal.ITIMER_REAL, 0)
        parsed = flags.FLAGS.is_parsed()
        goes_on = parsed and MODES[_MODE.value].goes_on
        end = end_of(error, goes_on=goes_on, in_command=not parsed)
        if parsed and _TRACEBACK.value:
            traceback.print_exc()
        others = channel.opened()
        if others is not None:
            end = End(*others.end(*end))
        print(f"{_program()}: {end.line}", file=sys.stderr)
        if others is not None:
            others.leave(end.status)
        sys.exit(end.status)


def main(argv: list[str]) -> int:
    """Runs one mode and returns the exit status."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # TensorFlow only reads files here
    if not flags.FLAGS["verbosity"].present:
        logging.set_verbosity(logging.WARNING)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    return MODES[_MODE.value].run()


def _stop(number: int, frame: FrameType | None) -> None:
    """Ends what goes on; training listens by itself, and saves first."""
    # Raised within a callback, as of the garbage collector, it is swallowed there: then once more.
    signal.signal(signal.SIGALRM, lambda *_: _stop(number, None))
    signal.setitimer(signal.ITIMER_REAL, _AGAIN_S)
    raise KeyboardInterrupt(signal.Signals(number).name)


def parse_flags(argv: list[str]) -> list[str]:
    """Parses the command line; exits with 0 for --help and with 2 for a wrong one."""
    if {"--help", "-help", "-h"} & set(argv):
        usage = (__doc__ or "").replace("python main.py", _usage())
        print(f"{usage}\nFlags:\n{flags.FLAGS.module_help(sys.modules[__name__])}")
        sys.exit(0)
    try:
        rest = flags.FLAGS(with_config_files(argv))
        _CONFIG.value.to_dict()
        if rest[1:]:
            raise ValueError(f"what is {rest[1]!r}? Every argument is a --flag=value")
    except (flags.Error, AttributeError, TypeError, ValueError, OSError) as error:
        print(f"{_program()}: {error}\n{_usage()} --help lists the flags", file=sys.stderr)
        sys.exit(2)
    return rest


def _program() -> str:
    return Path(sys.argv[0]).name


def _usage() -> str:
    return f"python {_program()}" if _program().endswith(".py") else _program()


def _given_config(*, files: bool = True) -> ConfigDict:
    """The config of the command line, checked before minutes are spent."""
    from resunet_lc_jax.runs.config import check_config, check_files

    check_config(_CONFIG.value)
    if files:
        check_files(_CONFIG.value)
    return _CONFIG.value


def _config_of(workdir: Path) -> ConfigDict:
    """A run's config with the changes of this command."""
    from resunet_lc_jax.devices.hosts import launched_first
    from resunet_lc_jax.runs.config import load_for_use

    changes = config_flags.get_override_values(flags.FLAGS["config"])
    alone = launched_first() and not changes.get("parallel.process_id")
    return load_for_use(workdir, _CONFIG.value, changes, say=_say if alone else None)


def _say(line: str) -> None:
    print(line, file=sys.stderr)


def _ensemble() -> Any:
    """The ensemble of --runs, else the one whose folder --workdir is, else None."""
    from resunet_lc_jax.ensemble import Ensemble, find_ensemble

    if _RUNS.value is None:
        return find_ensemble(_run())
    return Ensemble(tuple(located(run).resolve() for run in _RUNS.value), _VOTE.value)


def _facts() -> Any:
    """What the command tells of arrays."""
    from tfds_physionet.formats.facts import Facts, check_facts

    leads = tuple(name.strip() for name in _ARRAY_LEADS.value or ())
    facts = Facts(leads=leads, rate=_ARRAY_RATE.value or 0.0, unit=_ARRAY_UNIT.value or "")
    check_facts(facts)
    return facts


def _numbers(flag: flags.FlagHolder) -> list[int]:
    if wrong := [number for number in flag.value if not number.isdigit()]:
        raise ValueError(f"--{flag.name} holds {wrong[0]!r}; give whole numbers, as 1,2,3")
    return [int(number) for number in flag.value]


def _needed(flag: flags.FlagHolder) -> Any:
    if flag.value is None:
        raise ValueError(f"--mode={_MODE.value} needs --{flag.name}")
    return flag.value


def _run() -> Path:
    missing = _WORKDIR.value is None and _MODE.value == "predict"
    return located(BETTER if missing else _needed(_WORKDIR))


def _own_folder() -> Path:
    return written_to(_needed(_WORKDIR))


def _path(flag: flags.FlagHolder) -> Path:
    return Path(_needed(flag)).expanduser()
