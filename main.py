"""Trains, evaluates and applies ResUNet-LC and the networks it is compared with.

  python main.py --config=configs/quickstart.py --workdir=W       no data needed, minutes
  python main.py --config=configs/default.py --config.data.records=DIR --workdir=W
  python main.py --mode=evaluate --workdir=W [--split=test] [--config.data.records=DIR]
  python main.py --mode=predict --workdir=W --input=DIR --output=OUT

The same training command, run again, takes an interrupted run up where it stopped.
Every knob stands in configs/default.py with its unit and reason.
Exit status: 0 done, 1 nothing could be done, 2 a wrong command, 75 stopped by a signal and saved.
"""

import os
import sys
from pathlib import Path

from absl import app, flags, logging
from ml_collections import config_flags

_DEFAULT = Path(__file__).resolve().parent / "configs" / "default.py"
_CONFIG = config_flags.DEFINE_config_file(
    "config", str(_DEFAULT), "a file of configs/; --config.x.y=z changes one of its knobs"
)
_MODE = flags.DEFINE_enum("mode", "train", ["train", "evaluate", "predict"], "what to do")
_WORKDIR = flags.DEFINE_string("workdir", None, "the run's folder")
_SPLIT = flags.DEFINE_string("split", "test", "evaluate: train, validation, test or fold_N")
_INPUT = flags.DEFINE_string("input", None, "predict: a folder with .hea files at any depth")
_OUTPUT = flags.DEFINE_string("output", None, "predict: the folder that gets the predictions")
_TRACEBACK = flags.DEFINE_bool("traceback", False, "on an error, show where it arose")


def main(argv: list[str]) -> int:
    """Runs one mode; a wrong input becomes one clear sentence and exit status 2."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if not flags.FLAGS["verbosity"].present:
        logging.set_verbosity(logging.WARNING)
    try:
        return _run()
    except (ValueError, OSError) as error:
        if _TRACEBACK.value:
            raise
        print(f"main.py: {error}", file=sys.stderr)
        return 2


def _run() -> int:
    from resunet_lc_jax import workdir as runs

    if _MODE.value == "train":
        runs.require_records(_CONFIG.value)
        from resunet_lc_jax.train import train

        return train(_CONFIG.value, _folder(_WORKDIR))
    config = runs.load_config(_folder(_WORKDIR), _CONFIG.value)
    config.update_from_flattened_dict(config_flags.get_override_values(flags.FLAGS["config"]))
    if _MODE.value == "evaluate":
        from resunet_lc_jax.evaluate import evaluate

        evaluate(config, _folder(_WORKDIR), split=_SPLIT.value)
        return 0
    from resunet_lc_jax.predict import predict

    return predict(config, _folder(_WORKDIR), _folder(_INPUT), _folder(_OUTPUT))


def _folder(flag: flags.FlagHolder) -> Path:
    if flag.value is None:
        raise ValueError(f"--mode={_MODE.value} needs --{flag.name}")
    return Path(flag.value).expanduser()


def parse_flags(argv: list[str]) -> list[str]:
    """Parses the command line; exits with 0 for --help and with 2 for a wrong one."""
    if {"--help", "-help", "-h"} & set(argv):
        print(f"{__doc__}\nFlags:\n{flags.FLAGS.module_help(sys.modules[__name__])}")
        sys.exit(0)
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
