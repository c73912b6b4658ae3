"""Devices and compiled programs of a test run, and the places of the optional material.

Tests marked `eight_devices` need as many simulated ones. They run in a process of their own, which
tests/devices/test_on_eight_devices.py starts; all others run on one device, as on most machines.
"""

import atexit
import os
import shutil
import signal
import tempfile

# Before anything imports jax. (The programs are compiled as for users: at
# xla_backend_optimization_level=0 dropout's masks came out wrong on 8 devices.)
os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "")
    + f" --xla_force_host_platform_device_count={os.environ.get('RESUNET_LC_TEST_DEVICES', '1')}"
).strip()
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Each program is compiled once a test run: pytest-xdist's workers and the commands that tests start
# find it here, too.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="compiled_")
    atexit.register(shutil.rmtree, os.environ["JAX_COMPILATION_CACHE_DIR"], ignore_errors=True)

# A shell lets its background jobs ignore Ctrl-C, and with them whatever the tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from jaxtyping import install_import_hook
from made_once import made_once
from ml_collections import ConfigDict
from small_runs import small_config

if TYPE_CHECKING:
    from resunet_lc_jax.data.sources import Records

# In these wings every call's arguments and results are checked against their annotations, a letter
# of a shape being one number in all of a call's arrays.
_CHECKED = install_import_hook(
    ["resunet_lc_jax.models", "resunet_lc_jax.learning"], "beartype.beartype"
)

_REPOSITORY = Path(__file__).resolve().parents[1]
_REFERENCE = _REPOSITORY.parent / "shared"


def pytest_configure(config: pytest.Config) -> None:
    """Lets pytest-xdist deal the files out in the order that the tests have here."""
    config.option.loadscopereorder = False


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keeps the tests of this process, those for eight devices or the others; the longest first."""
    on_eight = os.environ.get("RESUNET_LC_TEST_DEVICES") == "8"
    kept: list[pytest.Item] = []
    left: list[pytest.Item] = []
    for item in items:
        marked = item.get_closest_marker("eight_devices") is not None
        (kept if marked == on_eight else left).append(item)
    # Commands take longest of all, and come first by their name; but for this one.
    items[:] = sorted(kept, key=lambda item: item.path.stem != "test_on_eight_devices")
    config.hook.pytest_deselected(items=left)


def _folder(variable: str, default: Path) -> Path:
    folder = Path(os.environ.get(variable, default))
    if not folder.is_dir():
        pytest.skip(f"no folder {folder}; set {variable} to run this test")
    return folder


@pytest.fixture(scope="session")
def repository() -> Path:
    """The checkout's root."""
    return _REPOSITORY


@pytest.fixture(scope="session")
def physionet2021() -> Path:
    """Real Challenge 2021 records (.hea and .mat below it), or a skip."""
    return _folder("PHYSIONET2021_RECORDS", _REFERENCE / "physionet2021")


@pytest.fixture(scope="session")
def oracle() -> Path:
    """Outputs of the reference implementations (metrics/, models/, preprocess/), or a skip."""
    return _folder("RESUNET_LC_ORACLE", _REFERENCE / "oracle")


@pytest.fixture(scope="session")
def challenge_labels() -> Path:
    """The Challenge's label tables (dx_mapping_scored.csv, weights.csv, ...), or a skip."""
    return _folder("CHALLENGE2021_LABELS", _REFERENCE / "labels")


@pytest.fixture(scope="session")
def odd_headers() -> Path:
    """Headers with the oddities of old releases, or a skip."""
    return _folder("PHYSIONET2021_ODD_HEADERS", _REFERENCE / "odd_headers")


@pytest.fixture(scope="session")
def simulated_records(
    pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A folder of 160 simulated records in the Challenge's form."""
    from tfds_physionet.simulate import write_records

    def write(folder: Path) -> None:
        write_records(folder, count=160, seed=1, workers=1, progress=False)

    return made_once(pytestconfig, tmp_path_factory, "simulated", write)


@pytest.fixture(scope="session")
def prepared(
    simulated_records: Path, pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, object]:
    """The knobs with which a config finds those records, prepared at 100 Hz."""
    knobs: dict[str, object] = {"data.records": str(simulated_records), "data.variant": "100hz"}

    def prepare(folder: Path) -> None:
        _open(small_config(**knobs, **{"data.data_dir": str(folder)}))

    data_dir = made_once(pytestconfig, tmp_path_factory, "prepared", prepare)
    return knobs | {"data.data_dir": str(data_dir)}


@pytest.fixture(scope="session")
def records(prepared: dict[str, object]) -> "Records":
    """Those records, opened; their folds say what serves what."""
    return _open(small_config(**prepared))


def _open(config: ConfigDict) -> "Records":
    from resunet_lc_jax.data.sources import open_records
    from resunet_lc_jax.runs import settings

    return open_records(settings.source(config), settings.split_rules(config))


@pytest.fixture(scope="session")
def trained_run(
    prepared: dict[str, object],
    pytestconfig: pytest.Config,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """The folder of a run of `small_config(**prepared)`, trained to its end."""

    def train_it(folder: Path) -> None:
        from resunet_lc_jax.train import train

        assert train(small_config(**prepared), folder) == 0

    return made_once(pytestconfig, tmp_path_factory, "trained", train_it)


@pytest.fixture(scope="module")
def trained(trained_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of that run, which the tests of a file may write to."""
    return shutil.copytree(trained_run, tmp_path_factory.mktemp("runs") / "trained")
