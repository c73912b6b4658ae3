"""What pyproject.toml cannot say: configs/ is packaged, too, and the commit is kept."""

import subprocess
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

_PACKAGE = "resunet_lc_jax"


class BuildWithCommit(build_py):
    """Writes the checkout's commit into the built package, for the provenance of runs."""

    def run(self) -> None:
        """Builds, then asks git."""
        super().run()
        if self.editable_mode:
            return  # the package is the checkout, which tells its commit itself
        # Its own, not that of a repository around an unpacked archive.
        tracked = ["git", "ls-files", "--error-unmatch", Path(__file__).name]
        describe = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
        try:
            for command in (tracked, describe):
                told = subprocess.check_output(
                    command, cwd=Path(__file__).parent, stderr=subprocess.DEVNULL, text=True
                )
        except (OSError, subprocess.CalledProcessError):
            return
        Path(self.build_lib, _PACKAGE, "commit.txt").write_text(told)


setup(
    packages=[*find_packages(include=[f"{_PACKAGE}*", "tfds_physionet*"]), f"{_PACKAGE}.configs"],
    package_dir={f"{_PACKAGE}.configs": "configs"},
    cmdclass={"build_py": BuildWithCommit},
)
