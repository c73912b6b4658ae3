"""Where builds lie below a data_dir, which of them are of the wanted records, and which is linked.

The one place that names their folders:

    records_<fingerprint>/physionet2021/<config>/<version>    a build, with its tables
    physionet2021 -> records_<fingerprint>/physionet2021      the last prepared, for tfds.load

Some digits more tell apart what is built in another way from the same records (with patients,
strictly, or after signals changed at equal size). Earlier versions built in physionet2021 itself.
"""

import contextlib
import hashlib
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfds_physionet.building import source_files, survey
from tfds_physionet.building.records_table import read_table
from tfds_physionet.building.source_files import SourceFiles
from tfds_physionet.errors import RecordError
from tfds_physionet.physionet2021.physionet2021_dataset_builder import Builder
from tfds_physionet.pool import num_cores, worker_pool
from tfds_physionet.reading.finding import find_records

SOURCE = "source.json"  # what a build was made of, beside its data


@dataclass(frozen=True)
class Wanted:
    """A build that is asked for.

    Attributes:
        records: The folder of the records.
        files: Its files.
        config: A form of the signals.
        patients: PTB-XL's ptbxl_database.csv, or None.
        published_folds: Whether PTB-XL's records keep the folds of that file.
        strict: Whether records whose samples contradict their header's checksums are refused.
    """

    records: Path
    files: SourceFiles
    config: str
    patients: Path | None
    published_folds: bool
    strict: bool

    @property
    def source(self) -> dict[str, Any]:
        """What source.json says of a build of this kind."""
        source: dict[str, Any] = {"fingerprint": self.files.fingerprint, "patients": None}
        if self.patients:
            table = self.patients.read_bytes()
            source["patients"] = hashlib.blake2b(table, digest_size=8).hexdigest()
        source["published_folds"] = self.published_folds
        return source | ({"strict": True} if self.strict else {})

    def target(self, home: Path) -> Path:
        """Where the build lies in a folder that TFDS takes for data_dir."""
        return home / Builder.name / self.config / str(Builder.VERSION)


def find_home(wanted: Wanted, data_dir: Path, name: str, *, quiet: bool) -> tuple[Path, bool]:
    """Returns the folder of the wanted build, and whether it is there.

    A folder that holds the same records in another form is taken for this one, too.

    Args:
        wanted: The build.
        data_dir: Where builds lie.
        name: The folder's, in the first place.
        quiet: Whether not to say on standard error that signals have changed.
    """
    source = wanted.source
    begun: Path | None = None
    for home in _homes(data_dir, name):
        builds = list(_builds(home))
        same = [build for build in builds if _is_of(build, source)]
        if same and all(_is_current(build, wanted, quiet) for build in same):
            if wanted.target(home) in same:
                return home, True
            if not wanted.target(home).exists():
                begun = begun or home
    if begun:
        return begun, False
    options = {key: value for key, value in source.items() if value and key != "fingerprint"}
    free = data_dir / (f"{name}_{_digest(options)}" if options else name)
    if any(_builds(free)):  # of other records, or of signals that were others
        free = free.with_name(f"{free.name}_{_digest([source, dict(wanted.files.changed)])}")
    return free, False


def _homes(data_dir: Path, name: str) -> Iterator[Path]:
    if not (data_dir / Builder.name).is_symlink():
        yield data_dir
    yield data_dir / name
    yield from sorted(data_dir.glob(f"{name}_*"))


def _builds(home: Path) -> Iterator[Path]:
    for config in Builder.BUILDER_CONFIGS:
        build = home / Builder.name / config.name / str(Builder.VERSION)
        if build.is_dir():
            yield build


def _is_of(build: Path, source: dict[str, Any]) -> bool:
    try:
        found = json.loads((build / SOURCE).read_text())
    except (OSError, ValueError):
        return False
    return all(found.get(key) == value for key, value in source.items())


def _is_current(build: Path, wanted: Wanted, quiet: bool) -> bool:
    """Whether the signals are those that were built from: by time of change, then by content."""
    changed = source_files.changed_since(build, wanted.files)
    if not changed:
        return True
    found = find_records(wanted.records)
    suspects = source_files.records_of(found, changed)
    table = read_table(build / "records.csv")
    hashes = dict(zip(table.record_id.tolist(), table.signal_hash.tolist(), strict=True))
    with worker_pool(min(num_cores(), len(suspects) // 100)) as map_records:
        sights = survey.look(found.root, suspects, wanted.strict, map_records)
        others = [
            record.name
            for record, sight in zip(suspects, sights, strict=True)
            if hashes.get(record.record_id)
            != (None if isinstance(sight, RecordError) else sight.signal_hash)
        ]
    if not others:
        with contextlib.suppress(OSError):
            source_files.note_times(build, wanted.files)
        return True
    if not quiet:
        some = ", ".join(others[:3]) + ", ..." * (len(others) > 3)
        print(
            f"{len(others):,} records have other signals than when {build} was built, in files of "
            f"the same sizes ({some}): they are built anew; that folder may be removed",
            file=sys.stderr,
        )
    return False


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=4).hexdigest()


def check_link(data_dir: Path, home: Path) -> None:
    """Raises ValueError where physionet2021 can't lead to a build, since it is one itself."""
    place = data_dir / Builder.name
    if home != data_dir and place.exists() and not place.is_symlink():
        raise ValueError(
            f"{place} was built from something else, by an earlier version; remove it or choose "
            "another data_dir"
        )


def link(data_dir: Path, home: Path, *, anew: bool) -> None:
    """Lets physionet2021 lead to the builds of a folder, where the file system has links.

    Args:
        data_dir: Where builds lie.
        home: The folder, in data_dir.
        anew: Whether to do so if it leads to another one now.
    """
    place, target = data_dir / Builder.name, os.path.join(home.name, Builder.name)
    if home == data_dir or (not anew and os.path.lexists(place)):
        return
    with contextlib.suppress(OSError):
        if place.is_symlink() and os.readlink(place) == target:
            return
        beside = data_dir / f".{Builder.name}.{os.getpid()}"
        os.symlink(target, beside)
        try:
            os.replace(beside, place)
        finally:
            beside.unlink(missing_ok=True)
