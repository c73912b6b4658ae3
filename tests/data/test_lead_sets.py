"""The leads that a record with a reduced set has: those of the set, and what they give."""

import numpy as np
import pytest

from resunet_lc_jax.data.leads import lead_mask
from tfds_physionet.reading.signals import STANDARD_LEADS

_LIMB = STANDARD_LEADS[:6]


@pytest.mark.parametrize(
    "size, present",
    [
        (12, STANDARD_LEADS),
        (6, _LIMB),
        (4, (*_LIMB, "V2")),
        (3, (*_LIMB, "V2")),
        (2, _LIMB),
    ],
)
def test_a_set_holds_what_can_be_derived_from_it(size: int, present: tuple[str, ...]) -> None:
    assert tuple(np.array(STANDARD_LEADS)[lead_mask(size, STANDARD_LEADS)]) == present


def test_a_network_of_some_leads_gets_those_of_the_set_that_it_takes() -> None:
    assert lead_mask(2, ("II", "V2", "I")).tolist() == [True, False, True]
    assert lead_mask(3, ("II", "V2", "I", "V6")).tolist() == [True, True, True, False]
    with pytest.raises(ValueError, match="set of 4 leads needs III"):
        lead_mask(4, ("I", "II", "V2"))
    with pytest.raises(ValueError, match="no set of 5 leads"):
        lead_mask(5, STANDARD_LEADS)
