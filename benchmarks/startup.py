"""How long a command takes to answer, and a second start to its first training step."""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.timing import Row, limit

REPOSITORY = Path(__file__).resolve().parents[1]
BATCH, LENGTH = 4, 4096
HELP_S, FIRST_STEP_S = 1.0, 15.0


def measure(*, full: bool) -> tuple[list[Row], dict]:
    """Returns the rows; each time is of a whole process, from its start."""
    helped = [_spent(["main.py", "--help"]) for _ in range(4)][1:]
    rows = [limit("main.py --help", sorted(helped)[1], "s", HELP_S)]
    with tempfile.TemporaryDirectory() as cache:
        start = ["-m", "benchmarks.startup", cache]
        name = f"start to first training step, batch {BATCH}"
        rows.append(Row(f"{name}, first start", _spent(start), None, "s"))
        rows.append(limit(f"{name}, second start", _spent(start), "s", FIRST_STEP_S))
    return rows, {}


def _spent(arguments: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, cwd=REPOSITORY, capture_output=True)
    return time.perf_counter() - start


def first_step(cache: str) -> None:
    """Takes one step of the default recipe, with compiled programs kept in this folder."""
    from benchmarks.networks import our_step
    from configs import default
    from resunet_lc_jax.runs.workdir import configure_jax

    config = default.get_config()
    config.compilation_cache = cache
    configure_jax(config)
    our_step(BATCH, LENGTH)()


if __name__ == "__main__":
    first_step(sys.argv[1])
