"""Makes the networks that come with the package, from nothing but code and real records.

  python -m benchmarks.make_pretrained --records=DIR --output=OUT [--short]

DIR holds the real records: of Challenge 2021, in any number of its databases. OUT gets the runs
`simulated` (no real record has a part in it), `folds` and `finetuned`, and their shipped forms in
OUT/shipped. Each step is a command of the project, told before it runs; run again, what was
stopped goes on. An hour on two cores; --short, which tests the way and not the result, a minute.
"""

import argparse
import os
import shlex
import subprocess
import sys
from pathlib import Path

_REHEARSED, _REHEARSED_SEED = 600, 1
_SHORT = {
    "config.model.width": 8,
    "config.train.epochs": 1,
    "config.train.batch_size": 8,
    "config.eval.bootstrap_replicates": 20,
}


def commands(records: Path, output: Path, databases: list[str], *, short: bool) -> list[list[str]]:
    """The commands in their order, without Python's own name.

    Args:
      records: The real records' folder.
      output: Where to write, absolute.
      databases: The real records' databases.
      short: Whether the networks are tiny and hardly trained.
    """
    made, both, data = output / "simulated", output / "records", output / "data"
    knobs = {"config.data.data_dir": data} | (_SHORT if short else {})
    count = {"config.data.simulated_count": 60} if short else {}
    tuned = knobs | {"config.data.records": both, "config.init_from": made}
    whole = {"config.data.always_train": "(" + "".join(f"'{name}'," for name in databases) + ")"}
    real = {"config.data.records": records, "config.eval.other_records": True}
    simulated = {"config.data.records": "simulated", "config.eval.other_records": True} | count
    simulated |= {"config.data.simulated_style": "clinical", "config.data.always_train": "()"}
    if not short:
        simulated["config.data.simulated_count"] = 30000
    rehearsed = {"count": 40 if short else _REHEARSED, "seed": _REHEARSED_SEED}
    folds = {"folds": "1,2"} if short else {}
    steps = [_main("train", made, knobs | count, "simulated")]
    steps += [_main("evaluate", made, real, split="all")]
    if not (both / "simulated").is_dir():
        write = rehearsed | {"style": "clinical", "output": both / "simulated"}
        steps += [["-m", "tfds_physionet.simulate", *_flags(write)]]
    steps += [_main("crossvalidate", output / "folds", tuned, "finetuned", **folds)]
    steps += [_main("train", output / "finetuned", tuned | whole, "finetuned")]
    steps += [_main("evaluate", output / "finetuned", simulated)]
    shipping, shipped = ["-m", "resunet_lc_jax.shipping"], output / "shipped"
    for name, more in (
        ("simulated", {"real": made / "evaluation" / "all.json"}),
        ("finetuned", {"crossvalidation": output / "folds", "checkpoint": "latest"}),
    ):
        test = output / name / "evaluation" / "test.json"
        given = {"name": name, "workdir": output / name, "simulated": test, **more}
        steps += [[*shipping, *_flags(given | {"output": shipped / name})]]
    return steps


def _main(mode: str, workdir: Path, knobs: dict, config: str = "", **more: str) -> list[str]:
    given = {"mode": mode, "workdir": workdir, **more}
    if config:
        given["config"] = f"configs/{config}.py"
    return ["main.py", *_flags(given | knobs)]


def _flags(values: dict) -> list[str]:
    return [f"--{name}={value}" for name, value in values.items()]


def main() -> int:
    """Runs the commands; returns the exit status of the first that fails, else 0."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.make_pretrained")
    parser.add_argument("--records", type=Path, required=True, help="folder with real records")
    parser.add_argument("--output", type=Path, required=True, help="folder to write to")
    parser.add_argument("--short", action="store_true", help="tiny networks, hardly trained")
    given = parser.parse_args()
    from tfds_physionet.databases import database_of
    from tfds_physionet.reading.finding import is_header, walk_files

    records, output = given.records.expanduser().resolve(), given.output.expanduser().resolve()
    output.mkdir(parents=True, exist_ok=True)
    (output / "records").mkdir(exist_ok=True)
    if not (output / "records" / "real").is_symlink():
        (output / "records" / "real").symlink_to(records)  # read in place
    headers = [records / file for file in walk_files(records) if is_header(file)]
    databases = sorted({database_of(header, records) for header in headers})
    root = Path(__file__).resolve().parents[1]
    for command in commands(records, output, databases, short=given.short):
        print("python " + shlex.join(command), flush=True)
        environment = os.environ | {"PYTHONPATH": str(root)}
        done = subprocess.run([sys.executable, *command], cwd=root, env=environment)
        if done.returncode:
            print(f"make_pretrained: stopped with status {done.returncode}", file=sys.stderr)
            return done.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
