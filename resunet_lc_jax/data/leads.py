"""Leads by name, and the reduced lead sets of Challenge 2021 (12, 6, 4, 3 and 2 leads)."""

from collections.abc import Sequence

import numpy as np

from tfds_physionet.leads import STANDARD_LEADS, derivation

# Reyna et al., "Will Two Do?", CinC 2021.
LEAD_SETS: dict[int, tuple[str, ...]] = {
    12: STANDARD_LEADS,
    6: ("I", "II", "III", "aVR", "aVL", "aVF"),
    4: ("I", "II", "III", "V2"),
    3: ("I", "II", "V2"),
    2: ("I", "II"),
}


def set_mask(size: int, leads: Sequence[str]) -> np.ndarray:
    """Returns which of these leads belong to a set: bool [L].

    Args:
      size: 12, 6, 4, 3 or 2.
      leads: The names of the leads of a batch.

    Raises:
      ValueError: There is no such set, or the leads lack one of it.
    """
    if size not in LEAD_SETS:
        raise ValueError(f"there is no set of {size} leads; choose of {tuple(LEAD_SETS)}")
    if missing := set(LEAD_SETS[size]) - set(leads):
        raise ValueError(
            f"the set of {size} leads needs {', '.join(sorted(missing))}, which config.data.leads "
            "leaves out"
        )
    return np.isin(leads, LEAD_SETS[size])


def lead_mask(size: int, leads: Sequence[str]) -> np.ndarray:
    """Returns which of these leads a record with the leads of a set alone has: bool [L].

    Those of the set, and those that can be derived from them, as they are in every record that is
    read: of leads I and II all six limb leads. The arguments are those of `set_mask`.
    """
    given = set_mask(size, leads)
    return given | np.array([derivation(lead, LEAD_SETS[size]) is not None for lead in leads])


def standard_rows(leads: Sequence[str]) -> np.ndarray:
    """Returns the rows of the standard twelve at which these leads stand."""
    return np.array([STANDARD_LEADS.index(lead) for lead in leads])
