"""The records that a run asks for, prepared once and found again, and which serve what."""

import contextlib
import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from resunet_lc_jax.data.selection import SPLITS, Selection, SplitRules, select
from resunet_lc_jax.devices import hosts
from tfds_physionet import simulate
from tfds_physionet.building.build import PreparedDataset, prepare_dataset
from tfds_physionet.building.records_table import read_table
from tfds_physionet.diagnoses import CLASS_NAMES
from tfds_physionet.physionet2021.physionet2021_dataset_builder import Builder

VARIANTS = {variant.name: variant for variant in Builder.BUILDER_CONFIGS}
"""The forms of the signals, with their sampling_rate and band_hz (Hz), by name."""


@dataclass(frozen=True)
class Source:
    """Where records come from; the fields are the knobs of `config.data`.

    Attributes:
      records: A folder with records anywhere below it, or 'simulated'.
      variant: The form of the signals, of `VARIANTS`.
      data_dir: Where prepared data sets live; None for TFDS's own folder.
      patients: PTB-XL's ptbxl_database.csv, or None.
      simulated_count: How many records 'simulated' writes.
      simulated_seed: Their seed.
      simulated_style: Their style, of `simulate.STYLES`.
      workers: Processes that prepare records; 0 for one a core.
    """

    records: str
    variant: str
    data_dir: str | None
    patients: str | None
    simulated_count: int
    simulated_seed: int
    simulated_style: str
    workers: int


@dataclass(frozen=True, eq=False)
class Records:
    """Prepared records, opened.

    Attributes:
      folder: The build, with its TFRecord files, records.csv and source.json.
      sampling_rate: Of the signals, in Hz.
      selection: Which of them serve what.
      about: What the user should know of the records themselves.
    """

    folder: Path
    sampling_rate: float
    selection: Selection
    about: tuple[str, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know of the records and their selection."""
        return self.about + self.selection.notes

    def selected(self, rules: SplitRules) -> Self:
        """The same records, chosen anew."""
        return replace(self, selection=_agreed(select(self.selection.table, rules)))


def open_records(source: Source, rules: SplitRules) -> Records:
    """Prepares records or finds them prepared, reads their table and selects the splits.

    Of several processes the first prepares, the others wait.

    Raises:
      ValueError: Too few of the records can be used, none has a diagnosis to learn, prepared data
        were damaged, the selection does not fit, or the processes do not agree on it.
    """
    sampling_rate = VARIANTS[source.variant].sampling_rate
    if not hosts.is_main():
        hosts.wait("records")
    prepared = _prepare(source)
    if hosts.is_main():
        hosts.wait("records")
    table = read_table(prepared.builder_dir / "records.csv")
    if not table.labels.any():
        raise ValueError(
            f"{source.records}: none of the {len(table.record_id):,} records has one of the "
            f"{len(CLASS_NAMES)} diagnoses that are scored, so that nothing can be learned or "
            "measured; see the lines '# Dx:' of the headers"
        )
    # Of simulated records each is a patient's own.
    about = () if source.records == "simulated" else prepared.notes
    return Records(prepared.builder_dir, sampling_rate, _agreed(select(table, rules)), about)


def _agreed(selection: Selection) -> Selection:
    """Compares the processes' selections: the numbers of records, and a hash of which they are."""
    facts = {}
    for name in (*SPLITS, "all"):
        table = selection.split(name).table
        which = hashlib.sha256("\n".join([*table.record_id, *table.signal_hash]).encode())
        facts[f"the {name} records"] = f"{len(table.record_id)} ({which.hexdigest()[:12]})"
    hosts.agree("the selection", facts)
    return selection


def _prepare(source: Source) -> PreparedDataset:
    data_dir = Path(source.data_dir or "~/tensorflow_datasets").expanduser()
    name = None
    if source.records == "simulated":
        which = f"{source.simulated_count}_{source.simulated_seed}"
        name = f"simulated_{which}_{simulate.VERSIONS[source.simulated_style]}"
        folder = data_dir / name / "records"
        if not folder.is_dir():
            with contextlib.suppress(FileExistsError):  # written by another run in the meantime
                simulate.write_records(
                    folder,
                    count=source.simulated_count,
                    seed=source.simulated_seed,
                    style=source.simulated_style,
                    workers=source.workers,
                )
    else:
        folder = Path(source.records).expanduser()
    return prepare_dataset(
        folder,
        data_dir,
        config=source.variant,
        name=name,
        link=False,
        workers=source.workers,
        patients=Path(source.patients).expanduser() if source.patients else None,
    )
