"""Scores Challenge output files against headers, exactly as the official evaluator does.

python -m resunet_lc_jax.score LABELS OUTPUTS [scores.csv [class_scores.csv]] [--tolerant]
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from resunet_lc_jax.measures import metrics
from resunet_lc_jax.measures.challenge_csv import output_names, read_challenge_csv
from tfds_physionet.diagnoses import DIAGNOSES, encode
from tfds_physionet.errors import RecordError, printable, read_file
from tfds_physionet.files import replacing
from tfds_physionet.reading.annotations import read_annotations
from tfds_physionet.reading.finding import find_records
from tfds_physionet.reading.header_text import LARGEST_HEADER, sort_lines, split_lines
from tfds_physionet.wording import shortlist

_CLASS_OF_CODE = {code: k for k, diagnosis in enumerate(DIAGNOSES) for code in diagnosis.codes}


@dataclass(frozen=True, eq=False)
class Loaded:
    """What was read of N records.

    Attributes:
      labels: [N, 26] bool.
      decisions: [N, 26] bool.
      scores: [N, 26] float64.
      unread: records whose header names scored diagnoses in a form that was not read.
      empty: records whose output names no scored class, hence all 0.
      refused: why the official evaluator would stop at a file, one sentence each; such an output
        is all 0.
    """

    labels: np.ndarray
    decisions: np.ndarray
    scores: np.ndarray
    unread: tuple[str, ...]
    empty: tuple[str, ...]
    refused: tuple[str, ...]


def read_labels(header: str) -> np.ndarray:
    r"""Labels [26] bool of a header's text, as the official evaluator reads them.

    Only lines that start with `#Dx` and have ': ' before the codes are seen, and only codes count.
    A line ends at \n.
    """
    labels = np.zeros(len(DIAGNOSES), bool)
    for line in header.split("\n"):
        if line.startswith("#Dx") and ": " in line:
            for code in line.split(": ")[1].split(","):
                if (k := _CLASS_OF_CODE.get(code.strip())) is not None:
                    labels[k] = True
    return labels


def read_labels_tolerantly(header: str) -> np.ndarray:
    """Labels [26] bool of a header's text, by the rules with which the data set reads records."""
    _, remarks = sort_lines(header.split("\n"))
    return encode(read_annotations(remarks).codes).astype(bool)


def load(labels: Path, outputs: Path, *, tolerant: bool = False) -> Loaded:
    """Reads the headers in a folder and the output file of each.

    Args:
      labels: a folder of .hea files; if there are none in it, all below it are taken.
      outputs: the folder with <record>.csv for each of them, in the same sub-folders.
      tolerant: reads labels tolerantly instead of officially.

    Returns:
      What was read, in the order of the file names.

    Raises:
      FileNotFoundError: there is no header.
    """
    found = find_records(labels, headers_only=True).records
    # What predict calls a record and its file.
    headers = [record for record in found if "/" not in record.name] or list(found)
    truths = np.zeros((len(headers), len(DIAGNOSES)), bool)
    decisions, scores = np.zeros_like(truths), np.zeros(truths.shape)
    unread: list[str] = []
    empty: list[str] = []
    refused: list[str] = []
    names = output_names(record.name for record in found)
    for row, header in enumerate(headers):
        try:
            data = read_file(header.path, "header", LARGEST_HEADER)
            generous = read_labels_tolerantly("\n".join(split_lines(data)))
            # As Python opens a text file: these are line ends, and the bytes are UTF-8.
            official = read_labels(data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").decode())
        except RecordError as error:
            generous = official = np.zeros(len(DIAGNOSES), bool)
            refused.append(str(error))
        except UnicodeDecodeError as error:
            official = np.zeros(len(DIAGNOSES), bool)
            if not tolerant:
                where, byte = printable(header.path), error.object[error.start]
                refused.append(f"{where}: byte 0x{byte:02x} is not UTF-8; save it as UTF-8")
        name = header.name.rpartition("/")[2]
        if not tolerant and (generous & ~official).any():
            unread.append(name)
        truths[row] = generous if tolerant else official
        path = outputs / names[header.name]
        try:
            if not path.is_file():
                raise FileNotFoundError(f"{path}: no output file for label file {header.name}.hea")
            output = read_challenge_csv(path)
        except (OSError, ValueError) as error:
            refused.append(str(error))
            continue
        if not output.classes:
            empty.append(name)
        decisions[row], scores[row] = output.by_class()
    return Loaded(truths, decisions, scores, tuple(unread), tuple(empty), tuple(refused))


def format_scores(result: dict) -> str:
    """The official scores.csv of a `metrics.score`."""
    columns = {
        "AUROC": "auroc",
        "AUPRC": "auprc",
        "Accuracy": "accuracy",
        "F-measure": "f_measure",
        "Challenge metric": "challenge_metric",
    }
    values = ",".join(f"{result[key]:.3f}" for key in columns.values())
    return f"{','.join(columns)}\n{values}"


def format_class_scores(result: dict) -> str:
    """The official class_scores.csv of a `metrics.score`."""
    rows = ["Classes," + ",".join("|".join(sorted(d.codes)) for d in DIAGNOSES)]
    for name, key in (("AUROC", "auroc"), ("AUPRC", "auprc"), ("F-measure", "f_measure")):
        rows.append(f"{name}," + ",".join(f"{value:.3f}" for value in result[f"{key}_classes"]))
    return "\n".join(rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m resunet_lc_jax.score",
        description="Scores Challenge output files as the official evaluator of 2021 does.",
    )
    parser.add_argument("labels", type=Path, help="folder with the records' .hea files")
    parser.add_argument("outputs", type=Path, help="folder with a .csv file for each of them")
    parser.add_argument("scores", type=Path, nargs="?", help="where to write the macro scores")
    parser.add_argument("class_scores", type=Path, nargs="?", help="and those of each class")
    parser.add_argument(
        "--tolerant",
        action="store_true",
        help="read '# Dx' and old names of diagnoses too, which the official evaluator ignores",
    )
    options = parser.parse_args(arguments)
    try:
        loaded = load(options.labels, options.outputs, tolerant=options.tolerant)
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if loaded.refused and not options.tolerant:
        print(
            f"error: the official evaluator stops at {len(loaded.refused)} of "
            f"{2 * len(loaded.labels)} files: {'; '.join(loaded.refused[:3])}"
            f"{'; ...' * (len(loaded.refused) > 3)} (--tolerant goes on with such outputs as 0)",
            file=sys.stderr,
        )
        return 1
    if loaded.unread:
        print(
            f"warning: {_some(loaded.unread)} name diagnoses in a form that the official evaluator "
            "does not read, such as '# Dx'; they count as unlabelled (--tolerant reads them)",
            file=sys.stderr,
        )
    if loaded.refused:
        print(
            f"warning: taken as all 0 where the official evaluator stops: {len(loaded.refused)} "
            f"outputs ({'; '.join(loaded.refused[:3])}{'; ...' * (len(loaded.refused) > 3)})",
            file=sys.stderr,
        )
    if loaded.empty:
        print(
            f"warning: no scored class in the second line of {_some(loaded.empty)}; all are 0",
            file=sys.stderr,
        )
    result = metrics.score(loaded.labels, loaded.scores, loaded.decisions)
    if options.scores is None:
        print(format_scores(result))
        return 0
    for path, text in (
        (options.scores, format_scores(result)),
        (options.class_scores, format_class_scores(result)),
    ):
        if path is not None:
            with replacing(path) as beside:
                beside.write_text(text)
    return 0


def _some(records: Sequence[str]) -> str:
    return f"{len(records)} records ({shortlist(records)})"


if __name__ == "__main__":
    sys.exit(main())
