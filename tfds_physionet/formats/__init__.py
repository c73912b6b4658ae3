"""From a file of any format but WFDB to channels in their units: arrays and clinical formats.

What the channels become (leads, 16 bits, an `EcgRecord`) belongs to `reading`, which is above.
"""
