"""Trains, evaluates and applies ResUNet-LC and the networks it is compared with.

  python main.py --config=configs/quickstart.py --workdir=W       no data needed, minutes
  python main.py --config=configs/default.py --config.data.records=DIR --workdir=W
  python main.py --mode=evaluate --workdir=W [--split=test] [--config.data.records=DIR]
  python main.py --mode=evaluate --workdir=W --leads=2,3,4,6,12
  python main.py --mode=predict --workdir=W --input=DIR --output=OUT
  python main.py --mode=compare --runs=W1,W2,... --output=OUT [--split=test]
  python main.py --mode=crossvalidate --config=C --workdir=W [--folds=1,2,...]
  python main.py --mode=import_torch --config=C --torch_checkpoint=F --workdir=W
  python main.py --mode=export_torch --workdir=W --output=F
  python main.py --mode=export --workdir=W --output=model.stablehlo

With --runs=W1,W2,... [--vote=mean|majority] evaluate and predict take these runs as an ensemble.
The same training command, run again, takes an interrupted run up where it stopped.
Every knob stands in configs/default.py with its unit and reason.
Exit status: 0 done, 1 nothing could be done or the numbers are not finite, 2 a wrong command,
75 stopped by a signal and saved.
"""

import os
import sys
from pathlib import Path
from typing import Any

from absl import app, flags, logging
from ml_collections import ConfigDict, config_flags

_DEFAULT = Path(__file__).resolve().parent / "configs" / "default.py"
_CONFIG = config_flags.DEFINE_config_file(
    "config", None, "a file of configs/; --config.x.y=z changes one of its knobs"
)
_MODES = ["train", "evaluate", "predict", "compare", "crossvalidate"]
_MODES += ["import_torch", "export_torch", "export"]
_MODE = flags.DEFINE_enum("mode", "train", _MODES, "what to do")
_WORKDIR = flags.DEFINE_string("workdir", None, "the run's folder")
_SPLIT = flags.DEFINE_string("split", "test", "evaluate: train, validation, test, all or fold_N")
_INPUT = flags.DEFINE_string("input", None, "predict: a folder with .hea files at any depth")
_OUTPUT = flags.DEFINE_string("output", None, "the folder or file to write to")
_RUNS = flags.DEFINE_list(
    "runs", None, "folders of runs; compare: evaluated ones, the first the baseline"
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


def main(argv: list[str]) -> int:
    """Runs one mode; a wrong input becomes one clear sentence and exit status 2."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # TensorFlow only reads files here
    if not flags.FLAGS["verbosity"].present:
        logging.set_verbosity(logging.WARNING)
    try:
        return _run()
    except FloatingPointError as error:
        print(f"main.py: {error}", file=sys.stderr)
        return 1
    except (ValueError, OSError, ImportError) as error:
        if _TRACEBACK.value:
            raise
        print(f"main.py: {error}", file=sys.stderr)
        return 2


def _run() -> int:
    """Imports what the mode needs, and no more: --help and a wrong flag answer at once."""
    if _MODE.value == "train":
        config = _given_config()
        from resunet_lc_jax.train import train

        return train(config, _path(_WORKDIR))
    if _MODE.value == "compare":
        from resunet_lc_jax.compare import compare

        folders = [Path(run).expanduser() for run in _needed(_RUNS)]
        print(compare(folders, _path(_OUTPUT), split=_SPLIT.value))
        return 0
    if _MODE.value == "import_torch":
        from resunet_lc_jax.exchange import import_torch

        import_torch(_given_config(), _path(_WORKDIR), _path(_TORCH))
        return 0
    if _MODE.value == "crossvalidate":
        config = _given_config()
        from resunet_lc_jax.crossvalidate import crossvalidate

        return crossvalidate(config, _path(_WORKDIR), _numbers(_FOLDS))
    if _MODE.value in ("evaluate", "predict"):
        from resunet_lc_jax import ensemble

        if together := _ensemble():
            if _LEADS.value:
                raise ValueError("--leads evaluates one run; give its --workdir without --runs")
            configs = {run: _config_of(run) for run in together.runs}
            if _MODE.value == "predict":
                where = _path(_INPUT), _path(_OUTPUT)
                return ensemble.predict_ensemble(together, configs, _path(_WORKDIR), *where)
            ensemble.evaluate_ensemble(together, configs, _path(_WORKDIR), split=_SPLIT.value)
            return 0
    config = _config_of(_path(_WORKDIR))
    if _MODE.value == "evaluate" and _LEADS.value:
        from resunet_lc_jax.evaluate import evaluate_leads

        sizes = _numbers(_LEADS)
        evaluate_leads(config, _path(_WORKDIR), split=_SPLIT.value, sizes=sizes)
    elif _MODE.value == "evaluate":
        from resunet_lc_jax.evaluate import evaluate

        evaluate(config, _path(_WORKDIR), split=_SPLIT.value)
    elif _MODE.value == "export":
        from resunet_lc_jax.export import export

        export(config, _path(_WORKDIR), _path(_OUTPUT))
    elif _MODE.value == "export_torch":
        from resunet_lc_jax.exchange import export_torch

        export_torch(config, _path(_WORKDIR), _path(_OUTPUT))
    else:
        from resunet_lc_jax.predict import predict

        return predict(config, _path(_WORKDIR), _path(_INPUT), _path(_OUTPUT))
    return 0


def _config_of(run: Path) -> ConfigDict:
    """A run's config with the overrides of this command."""
    from resunet_lc_jax.runs.config import load_for_use

    changes = config_flags.get_override_values(flags.FLAGS["config"])
    return load_for_use(run, _CONFIG.value, changes, say=_say)


def _given_config() -> ConfigDict:
    """The config of the command line, checked before minutes are spent."""
    from resunet_lc_jax.runs.config import check_config, check_files

    check_config(_CONFIG.value)
    if _MODE.value != "import_torch":
        check_files(_CONFIG.value)
    return _CONFIG.value


def _say(line: str) -> None:
    print(line, file=sys.stderr)


def _ensemble() -> Any:
    """The ensemble of --runs, else the one whose folder --workdir is, else None."""
    from resunet_lc_jax.ensemble import Ensemble, find_ensemble

    if _RUNS.value is None:
        return find_ensemble(_path(_WORKDIR))
    return Ensemble(tuple(Path(run).expanduser().resolve() for run in _RUNS.value), _VOTE.value)


def _numbers(flag: flags.FlagHolder) -> list[int]:
    if wrong := [number for number in flag.value if not number.isdigit()]:
        raise ValueError(f"--{flag.name} holds {wrong[0]!r}; give whole numbers, as 1,2,3")
    return [int(number) for number in flag.value]


def _needed(flag: flags.FlagHolder) -> Any:
    if flag.value is None:
        raise ValueError(f"--mode={_MODE.value} needs --{flag.name}")
    return flag.value


def _path(flag: flags.FlagHolder) -> Path:
    return Path(_needed(flag)).expanduser()


def parse_flags(argv: list[str]) -> list[str]:
    """Parses the command line; exits with 0 for --help and with 2 for a wrong one."""
    if {"--help", "-help", "-h"} & set(argv):
        print(f"{__doc__}\nFlags:\n{flags.FLAGS.module_help(sys.modules[__name__])}")
        sys.exit(0)
    if not any(word.lstrip("-").partition("=")[0] == "config" for word in argv[1:]):
        # Not as the flag's default: ml_collections would read the overrides at definition, where
        # an unknown name cannot be caught.
        argv.insert(1, f"--config={_DEFAULT}")
    try:
        rest = flags.FLAGS(argv)
        _CONFIG.value.to_dict()
        if rest[1:]:
            raise ValueError(f"what is {rest[1]!r}? Every argument is a --flag=value")
    except (flags.Error, AttributeError, KeyError, TypeError, ValueError, OSError) as error:
        print(f"main.py: {error}\nmain.py --help lists the flags", file=sys.stderr)
        sys.exit(2)
    return rest


if __name__ == "__main__":
    app.run(main, flags_parser=parse_flags)
