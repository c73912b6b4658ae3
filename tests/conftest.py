"""Devices and compiled programs of a test run, and the places of the optional material.

Tests marked `eight_devices` need as many simulated ones. They run in a process of their own, which
tests/devices/test_on_eight_devices.py starts; all others run on one device, as on most machines.
"""

import os

# Before anything imports jax. (The programs are compiled as for users: at
# xla_backend_optimization_level=0 dropout's masks came out wrong on 8 devices.)
os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "")
    + f" --xla_force_host_platform_device_count={os.environ.get('RESUNET_LC_TEST_DEVICES', '1')}"
).strip()
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from jaxtyping import install_import_hook

if TYPE_CHECKING:
    from resunet_lc_jax.data.sources import Records

# In these wings every call's arguments and results are checked against their annotations, a letter
# of a shape being one number in all of a call's arrays.
_CHECKED = install_import_hook(
    ["resunet_lc_jax.models", "resunet_lc_jax.learning"], "beartype.beartype"
)

_REPOSITORY = Path(__file__).resolve().parents[1]
_REFERENCE = _REPOSITORY.parent / "shared"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keeps the tests of this process: those for eight devices, or the others."""
    on_eight = os.environ.get("RESUNET_LC_TEST_DEVICES") == "8"
    kept: list[pytest.Item] = []
    left: list[pytest.Item] = []
    for item in items:
        marked = item.get_closest_marker("eight_devices") is not None
        (kept if marked == on_eight else left).append(item)
    items[:] = kept
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
def simulated_records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 160 simulated records in the Challenge's form."""
    from tfds_physionet.simulate import write_records

    folder = tmp_path_factory.mktemp("simulated") / "records"
    write_records(folder, count=160, seed=1, workers=1, progress=False)
    return folder


@pytest.fixture(scope="session")
def records(simulated_records: Path, tmp_path_factory: pytest.TempPathFactory) -> "Records":
    """Those records, prepared at 100 Hz and opened; their folds say what serves what."""
    from configs import default
    from resunet_lc_jax.data.sources import open_records
    from resunet_lc_jax.runs import settings

    config = default.get_config()
    config.data.records = str(simulated_records)
    config.data.data_dir = str(tmp_path_factory.mktemp("prepared"))
    config.data.variant, config.data.workers = "100hz", 1
    return open_records(settings.source(config), settings.split_rules(config))
