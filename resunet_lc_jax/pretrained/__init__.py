"""Networks that come with the package, each in a folder of its own that is opened as a run is.

A folder holds what a run's folder has for its use, with weights.safetensors in place of
checkpoints/, and a card of the network, card.json and card.md. `resunet_lc_jax.ship` writes them.
"""

from pathlib import Path

NAMES = ("simulated", "finetuned")
"""What stands for a folder here wherever a run is asked for; a folder of that name is ./NAME."""

BETTER = "simulated"
"""What predicts where no run is named: by their cards the better one on real records."""

FOLDER = Path(__file__).resolve().parent


def located(run: str) -> Path:
    """Returns the folder of a run, or of the network here that has this very name."""
    return FOLDER / run if run in NAMES else Path(run).expanduser()


def written_to(folder: str) -> Path:
    """Returns a folder that is to be written to.

    Raises:
      ValueError: The name stands for a network here.
    """
    if folder in NAMES:
        raise ValueError(
            f"--workdir={folder} is a network of this package, which is not written to; a folder "
            f"of that name is ./{folder}"
        )
    return Path(folder).expanduser()
