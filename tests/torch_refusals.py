"""How a PyTorch file is refused."""

import tracemalloc

import pytest

from resunet_lc_jax.pytorch.checkpoint import read_checkpoint
from resunet_lc_jax.pytorch.files import TorchFileError


def refusal(path):
    """The sentence with which a file is refused, in little memory."""
    tracemalloc.start()
    try:
        with pytest.raises(TorchFileError) as caught:
            read_checkpoint(path)
        assert tracemalloc.get_traced_memory()[1] < 200e6
    finally:
        tracemalloc.stop()
    message = str(caught.value)
    assert message.startswith(str(path)) and message.isprintable()
    assert "Errno" not in message and len(message) < 600
    return message
