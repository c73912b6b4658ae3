"""Reads the text of a program that XLA has compiled for a GPU: what it runs, moves and exchanges.

Counted are the instructions of the entry computation, each of which is a kernel, a library call or
a collective, in the order in which they run.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

_BITS = {"pred": 8, "s4": 4, "u4": 4}  # what the number in the name does not tell
_SHAPE = re.compile(r"\b([a-z]+\d*)\[([\d,]*)\]")
_COMPUTATION = re.compile(r"^(ENTRY )?%?([\w.\-]+) \(.*\) -> .*\{$")
_INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%?([\w.\-]+) = (.*)$")
_CONVOLUTION = "__cudnn$conv"
# Name what is there already: nothing runs.
_NOTHING = {"parameter", "constant", "tuple", "get-tuple-element", "bitcast", "after-all"}


@dataclass(frozen=True)
class Shape:
    """A tensor's type."""

    dtype: str
    dims: tuple[int, ...]

    @property
    def size(self) -> int:
        """Elements."""
        return math.prod(self.dims)

    @property
    def bytes(self) -> int:
        """Of its elements."""
        digits = re.search(r"\d+", self.dtype)
        bits = _BITS.get(self.dtype) or int(digits[0]) if digits or self.dtype in _BITS else 0
        return self.size * bits // 8


@dataclass(frozen=True)
class Instruction:
    """A line of a computation.

    Attributes:
      name: Its name.
      kind: 'fusion', 'custom-call', 'all-reduce-start' ...
      results: What it gives, a tuple's elements side by side.
      operands: The names of what it takes.
      text: All that stands behind the operands.
    """

    name: str
    kind: str
    results: tuple[Shape, ...]
    operands: tuple[str, ...]
    text: str

    @property
    def calls(self) -> str | None:
        """The computation that a fusion runs."""
        found = re.search(r"\bcalls=%?([\w.\-]+)", self.text)
        return found[1] if found else None

    @property
    def is_convolution(self) -> bool:
        """Whether cuDNN convolves here, forward or for a gradient."""
        return f'custom_call_target="{_CONVOLUTION}' in self.text


class Program:
    """A compiled program, read from its text."""

    def __init__(self, text: str) -> None:
        """Reads `jax.stages.Compiled.as_text()`."""
        self.text = text
        self._computations: dict[str, list[Instruction]] = {}
        self._entry = ""
        current: list[Instruction] = []
        for line in text.splitlines():
            if opened := _COMPUTATION.match(line):
                current = self._computations.setdefault(opened[2], [])
                self._entry = opened[2] if opened[1] else self._entry
            elif line.startswith(" ") and (found := _INSTRUCTION.match(line)):
                current.append(_instruction(found[1], found[2]))

    @cached_property
    def steps(self) -> list[Instruction]:
        """What runs, in its order."""
        ran = (x for x in self._computations[self._entry] if x.kind not in _NOTHING)
        return [x for x in ran if not x.kind.endswith("-done")]

    @property
    def convolutions(self) -> list[Instruction]:
        """cuDNN's calls."""
        return [step for step in self.steps if step.is_convolution]

    def collectives(self, kind: str) -> list[int]:
        """Bytes that each 'all-reduce', 'all-gather' ... of a device exchanges."""
        found = [step for step in self.steps if step.kind.removesuffix("-start") == kind]
        return [sum(shape.bytes for shape in step.results) for step in found]

    def moves(self, batch: int) -> list[Instruction]:
        """Kernels that copy or transpose an activation, and do nothing else with it.

        Args:
          batch: Examples on a device: what tells an activation from a weight. No other axis of the
            network may have as many elements.
        """
        return [step for step in self.steps if self._moves(step, batch)]

    def _moves(self, step: Instruction, batch: int) -> bool:
        if not any(batch in shape.dims for shape in step.results):
            return False
        inside = self._computations.get(step.calls or "", [])
        kinds = {x.kind for x in inside} - _NOTHING or {step.kind}
        return kinds <= {"copy", "transpose", "reshape"}

    def bytes_moved(self, step: Instruction) -> int:
        """Bytes that a step reads and writes; of an operand that it only slices, the slices'."""
        read = 0
        inside = self._computations.get(step.calls or "", [])
        parameters = {x.text: x.name for x in inside if x.kind == "parameter"}
        for number, operand in enumerate(step.operands):
            whole = sum(shape.bytes for shape in self._shapes[operand])
            inner = parameters.get(str(number))
            users = [x for x in inside if inner in x.operands]
            if users and all(x.kind in ("slice", "dynamic-slice") for x in users):
                whole = min(whole, sum(shape.bytes for x in users for shape in x.results))
            read += whole
        return read + sum(shape.bytes for shape in step.results)

    @cached_property
    def _shapes(self) -> dict[str, tuple[Shape, ...]]:
        return {x.name: x.results for x in self._computations[self._entry]}

    def operands(self, step: Instruction) -> list[Shape]:
        """The tensors that a step takes."""
        return [shape for name in step.operands for shape in self._shapes[name]]

    def flops(self, step: Instruction) -> int:
        """Floating-point operations of a convolution of stride 1; of anything else 0."""
        if not step.is_convolution:
            return 0
        first, second = self.operands(step)[:2]
        result = step.results[0]
        # Layouts are b01f and o01i; the kernel is o01i wherever it stands.
        if "$convBackwardInput" in step.text:
            output, kernel = first, second
        elif "$convBackwardFilter" in step.text:
            output, kernel = second, result
        else:  # forward, alone or with a bias and an activation
            output, kernel = result, second
        return 2 * output.size * kernel.size // kernel.dims[0]

    @property
    def largest(self) -> Shape:
        """The tensor of most elements."""
        return max(self._every_shape(), key=lambda shape: shape.size)

    def _every_shape(self) -> Iterator[Shape]:
        for step in self.steps:
            yield from step.results


def _instruction(name: str, line: str) -> Instruction:
    end = _closing(line, 0) + 1 if line.startswith("(") else line.index(" ")
    kind, _, _ = line[end:].strip().partition("(")
    opened = line.index("(", end)
    closed = _closing(line, opened)
    operands = line[opened + 1 : closed]
    return Instruction(
        name=name,
        kind=kind,
        results=tuple(
            Shape(dtype, tuple(int(x) for x in dims.split(",") if x))
            for dtype, dims in _SHAPE.findall(line[:end])
        ),
        operands=tuple(re.findall(r"%([\w.\-]+)", operands)),
        text=operands if kind == "parameter" else line[closed + 1 :],
    )


def _closing(line: str, opened: int) -> int:
    depth = 0
    for place in range(opened, len(line)):
        depth += {"(": 1, ")": -1}.get(line[place], 0)
        if depth == 0:
            return place
    raise ValueError(f"no closing bracket in {line[:80]!r}")
