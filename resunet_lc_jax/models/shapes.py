"""Shapes of the networks' arrays.

B examples, L leads, T samples (t of another length), C channels (O other ones), K classes.
"""

from jaxtyping import Array, Float, Int, Shaped

Signal = Float[Array, "B L T"]
"""z-scored, 0 where there is no sample."""

LeadPresent = Shaped[Array, "B L"]
"""1 or True where the record has the lead."""

Index = Int[Array, " B"]
"""The examples' places in the global batch."""

Maps = Float[Array, "B L T C"]
"""Feature maps, one a lead; one-dimensional networks have L = 1."""

NewMaps = Float[Array, "B L t O"]
"""What becomes of them: of another length, with other channels."""

Kernel = Float[Array, "kh kw C O"]
"""Of a convolution from C to O channels, along leads and time."""

PerChannel = Float[Array, " C"]
"""One number a channel."""
