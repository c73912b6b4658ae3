"""Serialised tf.train.Examples: their features in order, and where the signal lies among them.

A protocol buffer is a row of fields, each a byte that says which, a length and so many bytes. An
example holds one field, its features, and these an entry each: the name, then the values, wrapped
in a Feature and a list. https://protobuf.dev/programming-guides/encoding
"""

_SIGNAL = b"\n\x06signal"  # how the entry of that name begins


def ordered(example: bytes) -> bytes:
    """Puts the features of an example in order, which else varies by process; the longest last."""
    entries = []
    start = first = _length(example, 1)[1]
    while start < len(example):
        length, begin = _length(example, start + 1)
        entries.append(example[start : begin + length])
        start = begin + length
    return b"".join([example[:first], *sorted(entries)])


def split_signal(head: bytes, size: int) -> tuple[bytes, int, int] | None:
    """Parts an example from its signal, of which nothing has to be there if it comes last.

    Args:
        head: The first bytes of the example, or all of them.
        size: How many bytes the example has.

    Returns:
        An example of all other features, where the signal starts, and its bytes; None where the
        head does not tell.
    """
    try:
        start = first = _length(head, 1)[1]
        length, begin = _length(head, start + 1)
        while not head.startswith(_SIGNAL, begin):
            start = begin + length
            length, begin = _length(head, start + 1)
        place = begin + len(_SIGNAL)
        for _ in ("Feature", "BytesList", "value"):
            length, place = _length(head, place + 1)
    except IndexError:  # the head ends before the signal starts
        return None
    end = place + length
    if size not in (end, len(head)) or end > size:
        return None
    others = head[first:start] + head[end:]
    return b"\n" + _as_length(len(others)) + others, place, length


def _length(data: bytes, place: int) -> tuple[int, int]:
    """Returns a length (7 bits a byte, the lowest first) at a place, and where it ends."""
    length = shift = 0
    while True:
        byte = data[place]
        length |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return length, place


def _as_length(length: int) -> bytes:
    """The bytes of what `_length` reads."""
    data = bytearray()
    while length > 127:
        data.append(length & 127 | 128)
        length >>= 7
    return bytes([*data, length])
