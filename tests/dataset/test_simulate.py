"""Simulated records as files: form and labels; they depend on nothing but seed and number."""

import signal
import subprocess
import sys
import time
from collections import Counter
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import wfdb
from challenge_files import headers_below

from tfds_physionet.diagnoses import CLASS_NAMES, DIAGNOSES, encode
from tfds_physionet.reading.records import read_record
from tfds_physionet.simulate import STYLES, VERSIONS, simulate_record, write_records


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("simulated") / "records"
    write_records(folder, count=30, seed=7, workers=1, progress=False)
    return folder


def _files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_wfdb_reads_the_files_and_finds_checksums_and_first_values_right(written: Path) -> None:
    for header in headers_below(written):
        record = wfdb.rdrecord(str(header.with_suffix("")), physical=False)
        # The Challenge writes the 16 bits with a sign, wfdb computes them without.
        assert [value % 65536 for value in record.checksum] == record.calc_checksum()
        assert record.init_value == record.d_signal[0].tolist()
        assert (record.n_sig, record.sig_len, record.fs) == (12, 5000, 500)


def test_signal_file_is_a_matlab_matrix_named_val_of_int16(written: Path) -> None:
    for path in written.rglob("*.mat"):
        val = scipy.io.loadmat(path)["val"]
        assert (val.shape, val.dtype) == ((12, 5000), np.int16)
        assert np.array_equal(val, read_record(path.with_suffix(".hea")).signal)


def test_headers_have_the_lines_of_real_ones(written: Path, physionet2021: Path) -> None:
    def shape(header: Path) -> list[str]:
        words = header.read_text().replace(header.stem, "NAME").split("\n")
        first = " ".join(words[0].split()[:2])  # rate, length and date differ
        leads = [" ".join(np.delete(line.split(), [5, 6])) for line in words[1:13]]
        return [first, *leads, *(line.split(":")[0] for line in words[13:])]

    for ours, theirs in (("simulated_a", "ningbo"), ("simulated_b", "cpsc_2018")):
        real = next(path for path in headers_below(physionet2021) if theirs in str(path))
        assert shape(headers_below(written / "training" / ours)[0]) == shape(real)


def test_records_files_list_each_folders_records_by_source(written: Path) -> None:
    sources = sorted(path.name for path in (written / "training").iterdir())
    assert sources == ["simulated_a", "simulated_b", "simulated_c"]
    for source in sources:
        group = written / "training" / source / "g1"
        headers = sorted(path.stem for path in group.glob("*.hea"))
        assert (group / "RECORDS").read_text().split() == headers
        assert len(headers) == 10


def test_read_record_returns_what_was_simulated(written: Path) -> None:
    for index in range(30):
        made = simulate_record(7, index)
        read = read_record(written / f"training/{made.source.database}/g1/{made.name}.hea")
        assert np.array_equal(read.signal, made.signal)
        assert set(read.codes) == set(made.codes)
        assert read.gains == (made.source.gain,) * 12
        assert read.sex == made.sex.lower()
        assert read.database == made.source.database


def test_a_record_has_the_same_bytes_whatever_the_count_and_the_workers(
    written: Path, tmp_path: Path
) -> None:
    write_records(tmp_path / "more", count=400, seed=7, workers=2, duration_s=10, progress=False)
    more, fewer = _files(tmp_path / "more"), _files(written)
    for name, content in fewer.items():
        if not name.endswith("RECORDS"):
            assert more[name] == content


def test_another_seed_gives_other_records() -> None:
    one, other = simulate_record(0, 5), simulate_record(1, 5)
    assert one.name == other.name
    assert not np.array_equal(one.signal, other.signal)


def test_einthovens_and_goldbergers_laws_hold_in_the_written_integers(written: Path) -> None:
    for header in headers_below(written):
        one, two, three, avr, avl, avf = read_record(header).signal[:6].astype(int)
        assert np.array_equal(three, two - one)
        assert np.abs(avr + (one + two) / 2).max() <= 0.5  # rounding to whole ADC units
        assert np.abs(avl - (one - two / 2)).max() <= 0.5
        assert np.abs(avf - (two - one / 2)).max() <= 0.5


def test_every_class_has_at_least_four_percent_of_a_thousand_records() -> None:
    for seed in (0, 1):
        labels = [encode(simulate_record(seed, k, duration_s=5).codes) for k in range(1000)]
        counts = np.sum(labels, axis=0, dtype=int)
        assert counts.min() >= 40
        assert 2000 <= counts.sum() <= 3300  # two to three labels a record


def test_labels_that_exclude_each_other_never_meet_and_implied_ones_always_do() -> None:
    pairs: Counter[frozenset[str]] = Counter()
    for k in range(1500):
        found = simulate_record(2, k, duration_s=5).diagnoses
        pairs.update(frozenset(pair) for pair in combinations(found, 2))
        for narrow, wide in (("Brady", "SB"), ("LPR", "IAVB"), ("TInv", "TAb"), ("LAnFB", "LAD")):
            assert narrow not in found or wide in found
        assert len({"NSR", "SB", "STach", "AF", "AFL", "PR"} & set(found)) == 1
    for pair in (("AF", "IAVB"), ("AF", "PAC"), ("LBBB", "RBBB"), ("LAD", "RAD"), ("SB", "NSR")):
        assert pairs[frozenset(pair)] == 0
    assert pairs[frozenset(("RBBB", "PVC"))] > 0


@pytest.mark.parametrize("name", CLASS_NAMES)
def test_a_chosen_diagnosis_is_given_with_its_code(name: str) -> None:
    for index in range(3):
        record = simulate_record(0, index, diagnoses=[name])
        assert name in record.diagnoses
        assert set(DIAGNOSES[CLASS_NAMES.index(name)].codes) & set(record.codes)


def test_chosen_diagnoses_that_exclude_each_other_are_refused() -> None:
    with pytest.raises(ValueError, match="AF and SB exclude each other"):
        simulate_record(0, 0, diagnoses=["AF", "SB"])
    with pytest.raises(ValueError, match="'XY' is no class"):
        simulate_record(0, 0, diagnoses=["XY"])


def test_length_and_rate_are_as_asked_and_too_small_ones_are_refused() -> None:
    assert simulate_record(0, 0, duration_s=7.5, sampling_rate=257).signal.shape == (12, 1928)
    with pytest.raises(ValueError, match="duration_s is 2"):
        simulate_record(0, 0, duration_s=2)
    with pytest.raises(ValueError, match="sampling_rate is 50"):
        simulate_record(0, 0, sampling_rate=50)
    with pytest.raises(ValueError, match="style is 'real'; choose 'clear' or 'clinical'"):
        simulate_record(0, 0, style="real")


def test_nothing_is_left_of_a_run_that_fails(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="duration_s"):
        write_records(tmp_path / "records", count=3, duration_s=1, progress=False)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="give another folder"):
        write_records(tmp_path, count=3, progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_command_line_writes_records_and_refuses_bad_counts_with_status_2(tmp_path: Path) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "tfds_physionet.simulate", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    folder = tmp_path / "records"
    assert run("--count=4", f"--output={folder}", "--seed=7").returncode == 0
    assert len(headers_below(folder)) == 4
    refused = run("--count=0", f"--output={tmp_path / 'other'}")
    assert refused.returncode == 2
    assert "count is 0" in refused.stderr


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_run_leaves_no_worker_and_nothing_that_the_next_does_not_remove(
    tmp_path: Path, stop: signal.Signals
) -> None:
    folder = tmp_path / "records"
    command = [sys.executable, "-m", "tfds_physionet.simulate", "--count=100000"]
    command += [f"--output={folder}", "--workers=2"]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        while not list(tmp_path.rglob("*.mat")):
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(stop)
        process.communicate(timeout=30)  # the workers hold standard error, too, until they end
    if stop == signal.SIGKILL:
        assert process.returncode == -stop
        assert len(list(tmp_path.glob(".records.partial-*"))) == 1
        before = len(list(tmp_path.rglob("*.mat")))
        time.sleep(1)
        assert len(list(tmp_path.rglob("*.mat"))) == before
        write_records(folder, count=3, progress=False)
        assert list(tmp_path.iterdir()) == [folder] and len(headers_below(folder)) == 3
    else:
        assert process.returncode == 128 + stop
        assert list(tmp_path.iterdir()) == []


def test_two_processes_that_write_one_folder_write_it_once(tmp_path: Path) -> None:
    folder = tmp_path / "records"
    command = [sys.executable, "-m", "tfds_physionet.simulate", "--count=30", f"--output={folder}"]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    errors = [process.communicate(timeout=60)[1] for process in processes]
    assert sorted(process.returncode for process in processes) == [0, 2]
    assert any("exists; give another folder" in error for error in errors)
    assert list(tmp_path.iterdir()) == [folder] and len(headers_below(folder)) == 30


def test_each_style_has_its_own_records_and_its_own_name_for_them() -> None:
    clear, clinical = (simulate_record(0, 4, style=style) for style in STYLES)
    assert clear.signal.shape == clinical.signal.shape
    assert (clear.signal != clinical.signal).mean() > 0.9
    assert set(VERSIONS) == set(STYLES) and len(set(VERSIONS.values())) == len(STYLES)


def test_drawn_clinical_records_have_every_class_and_meet_as_in_a_clinic() -> None:
    labels = np.array(
        [encode(simulate_record(1, k, duration_s=5, style="clinical").codes) for k in range(400)]
    )
    assert labels.any(axis=0).all()
    pairs = (labels.T.astype(int) @ labels) > 0
    for one, other in (("AF", "RBBB"), ("LBBB", "LAD"), ("SB", "IAVB"), ("STach", "PAC")):
        assert pairs[CLASS_NAMES.index(one), CLASS_NAMES.index(other)]
