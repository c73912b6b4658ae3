"""Writes simulated records: python -m tfds_physionet.simulate --count=1000 --output=DIR."""

import argparse
import signal
import sys
from pathlib import Path

from tfds_physionet.simulate.writing import write_records


def main() -> int:
    """Returns the exit status: 0, or 2 where an argument can't be used."""
    parser = argparse.ArgumentParser(
        prog="python -m tfds_physionet.simulate",
        description="Writes simulated 12-lead records, labelled, in the Challenge's form.",
    )
    parser.add_argument("--count", type=int, required=True, help="number of records")
    parser.add_argument("--output", type=Path, required=True, help="a new folder")
    parser.add_argument("--seed", type=int, default=0, help="chooses among data sets (default: 0)")
    parser.add_argument("--duration_s", type=float, default=10.0, help="default: 10 s")
    parser.add_argument("--sampling_rate", type=float, default=500.0, help="default: 500 Hz")
    parser.add_argument("--style", default="clear", help="clear (default) or clinical")
    parser.add_argument("--workers", type=int, default=0, help="processes (default: one a core)")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that it tidies up
    try:
        write_records(
            given.output,
            count=given.count,
            seed=given.seed,
            duration_s=given.duration_s,
            sampling_rate=given.sampling_rate,
            style=given.style,
            workers=given.workers,
        )
    except (ValueError, OSError) as error:
        print(f"simulate: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("simulate: stopped; nothing was written", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
