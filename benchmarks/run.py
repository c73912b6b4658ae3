"""Measures the project side by side with what a user would run instead.

  python -m benchmarks.run --output=DIR [--only=steps,inference,...] [--full]

Writes DIR/results.json, DIR/benchmarks.md and plots; parts that are not measured keep what an
earlier run wrote there. All parts take 25 minutes on two cores; --full adds batch 24 and builds of
up to 50,000 records. PHYSIONET2021_RECORDS may name a folder of real records.
"""

import argparse
import importlib
import importlib.metadata
import json
import platform
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.timing import Row, cores

PARTS = ("steps", "inference", "memory", "input", "build", "scoring", "startup", "predict")


def main(arguments: list[str] | None = None) -> int:
    """Runs the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    parser.add_argument("--output", type=Path, required=True, help="folder of the results")
    parser.add_argument("--only", default=",".join(PARTS), help="parts, separated by commas")
    parser.add_argument("--full", action="store_true", help="the longest measurements, too")
    options = parser.parse_args(arguments)
    chosen = options.only.split(",")
    if unknown := set(chosen) - set(PARTS):
        parser.error(f"no part is called {unknown.pop()!r}; choose from {', '.join(PARTS)}")

    options.output.mkdir(parents=True, exist_ok=True)
    path = options.output / "results.json"
    results = json.loads(path.read_text()) if path.is_file() else {"parts": {}}
    for part in chosen:
        print(f"{part} ...", flush=True)
        start = time.perf_counter()
        rows, curves = importlib.import_module(f"benchmarks.{part}").measure(full=options.full)
        results["parts"][part] = {
            "seconds": round(time.perf_counter() - start),
            "full": options.full,
            "rows": [asdict(row) | {"ratio": row.ratio} for row in rows],
            "curves": curves,
        }
        results["machine"] = machine()
        path.write_text(json.dumps(results, indent=2) + "\n")
        results = json.loads(path.read_text())
        (options.output / "benchmarks.md").write_text(format_table(results))
        print(format_rows(rows), flush=True)
    from benchmarks.plots import write_plots

    write_plots(results, options.output)
    return 0


def machine() -> dict[str, Any]:
    """What the figures were taken on."""
    names = [
        line for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line
    ]
    versions = {name: importlib.metadata.version(name) for name in ("jax", "jaxlib", "torch")}
    return {
        "processor": names[0].split(":")[1].strip() if names else platform.processor(),
        "cores": cores(),
        "python": platform.python_version(),
        **versions,
    }


def format_table(results: dict[str, Any]) -> str:
    """The Markdown page of all parts."""
    of = results["machine"]
    lines = ["# Benchmarks", ""]
    lines += [", ".join(f"{name} {value}" for name, value in of.items()) + ".", ""]
    for part in PARTS:
        if part in results["parts"]:
            measured = results["parts"][part]
            rows = [Row(**{k: v for k, v in r.items() if k != "ratio"}) for r in measured["rows"]]
            extent = ", --full" if measured["full"] else ""
            lines += [f"## {part} ({measured['seconds']} s{extent})", "", format_rows(rows), ""]
    return "\n".join(lines)


def format_rows(rows: list[Row]) -> str:
    """A Markdown table of these rows."""
    lines = ["| | ours | peer | ratio | target | met | |", "|---|---|---|---|---|---|---|"]
    for row in rows:
        peer = "" if row.peer is None else f"{row.peer:.3g} {row.unit}"
        ratio = "" if row.ratio is None else f"{row.ratio:.3g}"
        met = {None: "", True: "yes", False: "**no**"}[row.met]
        ours = f"{row.ours:.4g} {row.unit}"
        lines.append(
            f"| {row.name} | {ours} | {peer} | {ratio} | {row.target} | {met} | {row.note} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
