"""Says what is wrong with records: python -m tfds_physionet.quality PATH --output=DIR."""

import argparse
import csv
import sys
from collections import Counter
from pathlib import Path

from tfds_physionet.errors import RecordError, of_record
from tfds_physionet.files import replacing, write_json
from tfds_physionet.pool import num_cores, worker_pool
from tfds_physionet.quality.checking import check
from tfds_physionet.quality.findings import quality
from tfds_physionet.reading.finding import find_records


def main() -> int:
    """Returns the exit status: 0, or 2 where an argument can't be used."""
    parser = argparse.ArgumentParser(
        prog="python -m tfds_physionet.quality",
        description="Writes quality.csv and quality.json: what is wrong with each record and lead.",
    )
    parser.add_argument("path", type=Path, help="a file, a folder or a list of records")
    parser.add_argument("--output", type=Path, required=True, help="the folder to write to")
    parser.add_argument("--workers", type=int, default=0, help="processes (default: one a core)")
    given = parser.parse_args()
    try:
        found = find_records(given.path)
        given.output.mkdir(parents=True, exist_ok=True)
        rows, records, refused = [], {}, list(found.unreadable)
        with worker_pool(given.workers or num_cores()) as map_records:
            results = map_records(check, [(record, found.root) for record in found.records])
            for record, result in zip(found.records, results, strict=True):
                if isinstance(result, Exception):
                    refused.append(of_record(record.path, result))
                    continue
                rows += [(record.name, f.lead, f.finding, f.value) for f in result]
                remarks = sorted({f.finding for f in result})
                records[record.name] = {"quality": quality(result), "findings": remarks}
        _write(given.output, rows, records, refused)
    except (ValueError, OSError) as error:
        print(f"quality: {error}", file=sys.stderr)
        return 2
    for word, count in Counter(r["quality"] for r in records.values()).most_common():
        print(f"{word:12} {count:7} records")
    for word, count in Counter(w for r in records.values() for w in r["findings"]).most_common():
        print(f"  {word:10} {count:7} records")
    print(f"{'unreadable':12} {len(refused):7} records")
    return 0


def _write(folder: Path, rows: list, records: dict, refused: list[RecordError]) -> None:
    with replacing(folder / "quality.csv") as path, path.open("w", newline="") as file:
        csv.writer(file).writerows([("record", "lead", "finding", "value"), *rows])
    errors = [str(error) for error in refused]
    write_json(folder / "quality.json", {"records": records, "unreadable": errors})


if __name__ == "__main__":
    sys.exit(main())
