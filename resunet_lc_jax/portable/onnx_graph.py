"""A traced JAX function as an ONNX graph: one operator after the other, for a batch of any size.

What depends on constants alone (folded weights, indices) is computed while the graph is made. The
operators are those that the networks here are made of; another one is an error that names it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np
from jax import export as jax_export
from jax.extend import core

# What ONNX Runtime reads from version 1.17 (of early 2024) on.
OPSET, IR_VERSION = 18, 9


@dataclass(frozen=True, eq=False)
class Tensor:
    """A value of the graph that is known only when it runs.

    Attributes:
      name: In the graph.
      shape: As it is there: 1 where it is still to be broadcast; -1 for a size that varies.
      dtype: Of its elements.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype


Value = np.ndarray | Tensor


def onnx_model(
    function: Callable[..., dict[str, jax.Array]],
    inputs: dict[str, tuple[tuple[int, ...], Any]],
    *,
    metadata: dict[str, str],
) -> Any:
    """Converts a function whose arrays all have the batch as their first axis.

    Args:
      function: Takes the inputs in their order, and returns its outputs by name.
      inputs: The shape without the batch, and the dtype, of each.
      metadata: Goes into the model's `metadata_props`.

    Returns:
      An `onnx.ModelProto` of opset `OPSET`, checked.

    Raises:
      ImportError: The package onnx is missing.
      NotImplementedError: An operator that has no form here.
    """
    onnx = _onnx()
    (batch,) = jax_export.symbolic_shape("batch")
    shapes = [jax.ShapeDtypeStruct((batch, *shape), dtype) for shape, dtype in inputs.values()]
    traced, structure = jax.make_jaxpr(function, return_shape=True)(*shapes)
    graph = _Graph(onnx)
    arguments = [
        Tensor(name, (-1, *shape), np.dtype(dtype)) for name, (shape, dtype) in inputs.items()
    ]
    results = graph.run(traced.jaxpr, traced.consts, arguments)
    # JAX gives the outputs of a dict in the order of its sorted keys.
    for name, value in zip(sorted(structure), results, strict=True):
        graph.node("Identity", graph.name_of(value), output=name)

    def info(name: str, shape: Sequence[int], dtype: Any) -> Any:
        return onnx.helper.make_tensor_value_info(
            name, graph.kind(dtype), ["batch", *map(int, shape)]
        )

    made = onnx.helper.make_graph(
        graph.nodes,
        "network",
        [info(name, *told) for name, told in inputs.items()],
        [info(name, structure[name].shape[1:], structure[name].dtype) for name in structure],
        [onnx.numpy_helper.from_array(array, name) for array, name in graph.constants.values()],
    )
    model = onnx.helper.make_model(
        made,
        opset_imports=[onnx.helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="resunet_lc_jax",
    )
    onnx.helper.set_model_props(model, metadata)
    onnx.checker.check_model(model, full_check=True)
    return model


def _onnx() -> Any:
    try:
        import onnx
    except ImportError as error:
        raise ImportError(
            "writing .onnx needs the package onnx; install it with "
            "pip install 'resunet_lc_jax[onnx]'"
        ) from error
    return onnx


def _shape(aval: Any) -> tuple[int, ...]:
    return tuple(size if isinstance(size, int) else -1 for size in aval.shape)


@dataclass
class _Graph:
    """Nodes and constants so far."""

    onnx: Any
    nodes: list[Any] = field(default_factory=list)
    constants: dict[tuple, tuple[np.ndarray, str]] = field(default_factory=dict)

    def kind(self, dtype: Any) -> int:
        """ONNX's number of a dtype."""
        return int(self.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def name_of(self, value: Value) -> str:
        """The name of a value in the graph; the same constant is kept once."""
        if isinstance(value, Tensor):
            return value.name
        value = np.asarray(value)
        key = (value.dtype.str, value.shape, value.tobytes())
        return self.constants.setdefault(key, (value, f"c{len(self.constants)}"))[1]

    def node(self, operator: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Adds a node with one output, and returns its name."""
        output = output or f"v{len(self.nodes)}"
        self.nodes.append(
            self.onnx.helper.make_node(operator, list(inputs), [output], **attributes)
        )
        return output

    def call(self, operator: str, *values: Value, like: Any, **attributes: Any) -> Tensor:
        """Adds a node of values; `like` has its result's shape (broadcast or not) and dtype."""
        names = [self.name_of(value) for value in values]
        return Tensor(self.node(operator, *names, **attributes), _shape(like), np.dtype(like.dtype))

    def reshape(self, value: Tensor, shape: Sequence[int]) -> Tensor:
        """The same elements; of the sizes one at the most varies."""
        assert sum(size == -1 for size in shape) <= 1, shape
        if tuple(shape) == value.shape:
            return value
        name = self.node("Reshape", value.name, self.name_of(np.array(shape, np.int64)))
        return Tensor(name, tuple(shape), value.dtype)

    def full(self, value: Value, aval: Any) -> Value:
        """A value that has been broadcast to its whole shape."""
        wanted = _shape(aval)
        if isinstance(value, np.ndarray) or value.shape == wanted:
            return value
        if any(to == -1 != size for size, to in zip(value.shape, wanted, strict=True)):
            raise NotImplementedError(f"a value of {value.shape} where {wanted} is needed")
        # Expand leaves a size alone where its own is 1.
        sizes = np.array([1 if size == -1 else size for size in wanted], np.int64)
        return Tensor(self.node("Expand", value.name, self.name_of(sizes)), wanted, value.dtype)

    def run(self, jaxpr: Any, consts: Sequence[Any], arguments: Sequence[Value]) -> list[Value]:
        """Adds a function's operators, and returns its results."""
        from resunet_lc_jax.portable.onnx_operators import OPERATORS

        known: dict[Any, Value] = dict(zip(jaxpr.constvars, map(np.asarray, consts), strict=True))
        known.update(zip(jaxpr.invars, arguments, strict=True))

        def read(variable: Any) -> Value:
            if isinstance(variable, core.Literal):
                return np.asarray(variable.val, getattr(variable.aval, "dtype", None))
            return known[variable]

        for equation in jaxpr.eqns:
            values = [read(variable) for variable in equation.invars]
            inner = equation.params.get("jaxpr", equation.params.get("call_jaxpr"))
            if inner is not None:
                body = getattr(inner, "jaxpr", inner)  # closed, with constants, or open
                results = self.run(body, getattr(inner, "consts", ()), values)
            elif _constant(values, equation):
                told = equation.primitive.bind(*values, **equation.params)
                many = equation.primitive.multiple_results
                results = [np.asarray(one) for one in (told if many else [told])]
            elif equation.primitive.name in OPERATORS:
                results = list(OPERATORS[equation.primitive.name](self, equation, *values))
            else:
                raise NotImplementedError(f"no ONNX form of JAX's {equation.primitive.name}")
            known.update(zip(equation.outvars, results, strict=True))
        return [read(variable) for variable in jaxpr.outvars]


def _constant(values: Sequence[Value], equation: Any) -> bool:
    fixed = all(-1 not in _shape(variable.aval) for variable in equation.outvars)
    return fixed and all(isinstance(value, np.ndarray) for value in values)
