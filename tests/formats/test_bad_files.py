"""Files that would take much memory or time are refused at once, and so is what is no ECG."""

import json
import os
import subprocess
import sys
from pathlib import Path

import hostile_files
import pytest
from hostile_files import SIGNAL

from benchmarks import ecg_files
from tfds_physionet.errors import RecordError
from tfds_physionet.leads import STANDARD_LEADS
from tfds_physionet.reading.records import read_record


@pytest.fixture(scope="module")
def ends(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """How the reading of each hostile file ended."""
    told = subprocess.check_output(
        [sys.executable, hostile_files.__file__, tmp_path_factory.mktemp("hostile")],
        cwd=repository,
        env=os.environ | {"PYTHONPATH": str(repository)},
        text=True,
    )
    return json.loads(told.splitlines()[-1])


@pytest.mark.parametrize("name", hostile_files.CASES)
def test_a_hostile_file_is_refused_within_a_second_and_500_mb(
    ends: dict[str, str], name: str
) -> None:
    assert ends[name] == "RecordError"


@pytest.mark.parametrize("name", ["a.xml", "h.edf"])
def test_without_ecgdatakit_the_command_to_install_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / name).write_bytes(ecg_files.CLINICAL[name](SIGNAL, STANDARD_LEADS, 500))
    for module in [m for m in sys.modules if m.split(".")[0] == "ecgdatakit"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "ecgdatakit", None)
    with pytest.raises(RecordError, match=r"needs ecgdatakit.*pip install '.*\[clinical\]'"):
        read_record(tmp_path / name)


@pytest.mark.parametrize(
    "text", ["<html>404</html>", "", '{"a": 1}', "version https://git-lfs", "hello"]
)
def test_what_is_no_ecg_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.dcm").write_text(text)
    with pytest.raises(RecordError, match="it is"):
        read_record(tmp_path / "a.dcm")
