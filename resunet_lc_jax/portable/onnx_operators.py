"""How each of JAX's operators is written in ONNX: from an equation and its values to its results.

Values that are still to be broadcast stay so where ONNX broadcasts by itself.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from resunet_lc_jax.portable.onnx_graph import Tensor, Value, _Graph, _shape

Operator = Callable[..., Sequence[Value]]

_ELEMENTWISE = {
    "abs": "Abs",
    "add": "Add",
    "and": "And",
    "div": "Div",
    "exp": "Exp",
    "logistic": "Sigmoid",
    "max": "Max",
    "min": "Min",
    "mul": "Mul",
    "neg": "Neg",
    "not": "Not",
    "or": "Or",
    "sqrt": "Sqrt",
    "sub": "Sub",
    "tanh": "Tanh",
}
_COMPARED = {"eq": "Equal", "ge": "GreaterOrEqual", "gt": "Greater", "le": "LessOrEqual"}
_COMPARED |= {"lt": "Less", "ne": "Equal"}


def _broadcast_shape(values: Sequence[Value]) -> tuple[int, ...]:
    shapes = [value.shape for value in values if len(value.shape)]
    return tuple(-1 if -1 in sizes else max(sizes) for sizes in zip(*shapes, strict=True))


def _elementwise(graph: _Graph, operator: str, values: Sequence[Value], dtype: Any) -> Tensor:
    names = [graph.name_of(value) for value in values]
    return Tensor(graph.node(operator, *names), _broadcast_shape(values), np.dtype(dtype))


def _simple(operator: str) -> Operator:
    def apply(graph: _Graph, equation: Any, *values: Value) -> list[Value]:
        return [_elementwise(graph, operator, values, equation.outvars[0].aval.dtype)]

    return apply


def _cast(graph: _Graph, value: Value, dtype: Any) -> Value:
    if isinstance(value, np.ndarray):
        return value.astype(dtype)
    if value.dtype == dtype:
        return value
    name = graph.node("Cast", value.name, to=graph.kind(dtype))
    return Tensor(name, value.shape, np.dtype(dtype))


def _compared(name: str) -> Operator:
    def apply(graph: _Graph, equation: Any, *values: Value) -> list[Value]:
        if values[0].dtype in (np.int8, np.int16):  # for which runtimes have no comparison
            values = tuple(_cast(graph, value, np.int32) for value in values)
        found = _elementwise(graph, _COMPARED[name], values, np.bool_)
        return [_elementwise(graph, "Not", [found], np.bool_)] if name == "ne" else [found]

    return apply


def _one_over_root(graph: _Graph, equation: Any, value: Tensor) -> list[Value]:
    root = _elementwise(graph, "Sqrt", [value], value.dtype)
    return [_elementwise(graph, "Reciprocal", [root], value.dtype)]


def _power(graph: _Graph, equation: Any, value: Tensor) -> list[Value]:
    exponent = np.array(equation.params["y"], value.dtype)
    return [_elementwise(graph, "Pow", [value, exponent], value.dtype)]


def _log1p(graph: _Graph, equation: Any, value: Tensor) -> list[Value]:
    above = _elementwise(graph, "Add", [value, np.ones((), value.dtype)], value.dtype)
    return [_elementwise(graph, "Log", [above], value.dtype)]


def _select(graph: _Graph, equation: Any, which: Value, *cases: Value) -> list[Value]:
    off, on = cases
    return [_elementwise(graph, "Where", [which, on, off], equation.outvars[0].aval.dtype)]


def _convert(graph: _Graph, equation: Any, value: Tensor) -> list[Value]:
    return [_cast(graph, value, equation.outvars[0].aval.dtype)]


def _same(graph: _Graph, equation: Any, *values: Value) -> Sequence[Value]:
    return values


def _broadcast(graph: _Graph, equation: Any, value: Value, *sizes: Value) -> list[Value]:
    axes = equation.params["broadcast_dimensions"]
    shape = [1] * len(equation.outvars[0].aval.shape)
    for axis, size in zip(axes, value.shape, strict=True):
        shape[axis] = size
    if isinstance(value, np.ndarray):
        return [value.reshape(shape)]
    return [graph.reshape(value, shape)]


def _reshape(graph: _Graph, equation: Any, value: Value, *sizes: Value) -> list[Value]:
    whole = graph.full(value, equation.invars[0].aval)
    assert isinstance(whole, Tensor)
    return [graph.reshape(whole, _shape(equation.outvars[0].aval))]


def _transpose(graph: _Graph, equation: Any, value: Tensor) -> list[Value]:
    return [_permuted(graph, value, equation.params["permutation"])]


def _permuted(graph: _Graph, value: Tensor, order: Sequence[int]) -> Tensor:
    if list(order) == sorted(order):
        return value
    name = graph.node("Transpose", value.name, perm=list(order))
    return Tensor(name, tuple(value.shape[axis] for axis in order), value.dtype)


def _pad(graph: _Graph, equation: Any, value: Value, filling: Value) -> list[Value]:
    config = equation.params["padding_config"]
    if any(between for _, _, between in config):
        raise NotImplementedError("no ONNX form of padding between elements")
    pads = np.array([[before, after] for before, after, _ in config], np.int64).T.reshape(-1)
    whole = graph.full(value, equation.invars[0].aval)
    if not pads.any():
        return [whole]
    return [graph.call("Pad", whole, pads, filling, like=equation.outvars[0].aval)]


def _concatenate(graph: _Graph, equation: Any, *values: Value) -> list[Value]:
    aval = equation.outvars[0].aval
    whole = [graph.full(v, var.aval) for v, var in zip(values, equation.invars, strict=True)]
    return [graph.call("Concat", *whole, like=aval, axis=equation.params["dimension"])]


def _stack(graph: _Graph, equation: Any, *values: Value) -> list[Value]:
    axis, aval = equation.params["axis"], equation.outvars[0].aval
    whole = []
    for value, variable in zip(values, equation.invars, strict=True):
        one = graph.full(value, variable.aval)
        assert isinstance(one, Tensor)
        whole.append(graph.reshape(one, (*one.shape[:axis], 1, *one.shape[axis:])))
    return [graph.call("Concat", *whole, like=aval, axis=axis)]


def _sliced(graph: _Graph, value: Value, aval: Any, like: Any, cut: dict[int, slice]) -> Tensor:
    parts = [(s.start, s.stop, axis, s.step or 1) for axis, s in cut.items()]
    columns = [np.array(column, np.int64) for column in zip(*parts, strict=True)]
    return graph.call("Slice", graph.full(value, aval), *columns, like=like)


def _slice(graph: _Graph, equation: Any, value: Value) -> list[Value]:
    params, aval = equation.params, equation.invars[0].aval
    strides = params["strides"] or (1,) * len(aval.shape)
    bounds = zip(params["start_indices"], params["limit_indices"], strides, strict=True)
    cut = {
        axis: slice(*bound)
        for axis, (bound, size) in enumerate(zip(bounds, aval.shape, strict=True))
        if bound != (0, size, 1)
    }
    return [_sliced(graph, value, aval, equation.outvars[0].aval, cut)]


def _split(graph: _Graph, equation: Any, value: Value) -> list[Value]:
    axis, ends = equation.params["axis"], np.cumsum(equation.params["sizes"])
    return [
        _sliced(
            graph, value, equation.invars[0].aval, out.aval, {axis: slice(end - size, int(end))}
        )
        for out, size, end in zip(equation.outvars, equation.params["sizes"], ends, strict=True)
    ]


def _reverse(graph: _Graph, equation: Any, value: Value) -> list[Value]:
    aval = equation.invars[0].aval
    cut = {axis: slice(-1, -(2**31), -1) for axis in equation.params["dimensions"]}
    return [_sliced(graph, value, aval, aval, cut)]


def _reduced(operator: str) -> Operator:
    def apply(graph: _Graph, equation: Any, value: Value) -> list[Value]:
        axes = np.array(equation.params["axes"], np.int64)
        whole = graph.full(value, equation.invars[0].aval)
        return [graph.call(operator, whole, axes, like=equation.outvars[0].aval, keepdims=0)]

    return apply


def _gather(graph: _Graph, equation: Any, value: Value, indices: Value) -> list[Value]:
    numbers, aval = equation.params["dimension_numbers"], equation.invars[0].aval
    like, along = equation.outvars[0].aval, numbers.start_index_map
    sizes = _shape_of(equation.params["slice_sizes"])
    if isinstance(indices, np.ndarray) and indices.ndim == 1:  # one slice
        cut = {
            axis: slice(int(start), int(start) + sizes[axis])
            for axis, start in zip(along, indices, strict=True)
        }
        part = _sliced(graph, value, aval, aval.update(shape=sizes), cut)
        return [graph.reshape(part, _shape(like))]
    whole = tuple(1 if axis in along else size for axis, size in enumerate(_shape(aval)))
    plain = numbers.collapsed_slice_dims == along and len(along) == 1 and sizes == whole
    if not plain or not isinstance(indices, np.ndarray):
        raise NotImplementedError("no ONNX form of JAX's gather but for slices and rows")
    (axis,), rows = along, np.asarray(indices[..., 0], np.int64)
    others = (d for d in range(len(like.shape)) if not axis <= d < axis + rows.ndim)
    if numbers.offset_dims != tuple(others):
        raise NotImplementedError("no ONNX form of a gather whose rows are not at their axis")
    return [graph.call("Gather", graph.full(value, aval), rows, like=like, axis=axis)]


def _shape_of(sizes: Sequence[Any]) -> tuple[int, ...]:
    return tuple(size if isinstance(size, int) else -1 for size in sizes)


def _dot(graph: _Graph, equation: Any, left: Value, right: Value) -> list[Value]:
    (summed_left, summed_right), (batch_left, batch_right) = equation.params["dimension_numbers"]
    letters = iter("abcdefghijklmnopqrstuvwxyz")
    first = [next(letters) for _ in left.shape]
    second = [next(letters) for _ in right.shape]
    for mine, other in zip((*summed_left, *batch_left), (*summed_right, *batch_right), strict=True):
        second[other] = first[mine]
    out = [first[axis] for axis in batch_left]
    out += [x for axis, x in enumerate(first) if axis not in (*summed_left, *batch_left)]
    out += [x for axis, x in enumerate(second) if axis not in (*summed_right, *batch_right)]
    whole = [graph.full(v, var.aval) for v, var in zip((left, right), equation.invars, strict=True)]
    aval = equation.outvars[0].aval
    last = tuple(summed_left) == (len(first) - 1,)
    if last and not batch_left and tuple(summed_right) == (0,) and len(second) == 2:
        return [graph.call("MatMul", *whole, like=aval)]
    equation_text = f"{''.join(first)},{''.join(second)}->{''.join(out)}"
    return [graph.call("Einsum", *whole, like=aval, equation=equation_text)]


def _convolution(graph: _Graph, equation: Any, value: Value, kernel: Value) -> list[Value]:
    params, aval = equation.params, equation.outvars[0].aval
    if set(params["lhs_dilation"]) != {1} or params["batch_group_count"] != 1:
        raise NotImplementedError("no ONNX form of a convolution of an input with gaps")
    numbers = params["dimension_numbers"]
    whole = graph.full(value, equation.invars[0].aval)
    weights = graph.full(kernel, equation.invars[1].aval)
    assert isinstance(whole, Tensor)
    channels_first = _permuted(graph, whole, numbers.lhs_spec)
    weights = (
        _permuted(graph, weights, numbers.rhs_spec)
        if isinstance(weights, Tensor)
        else np.ascontiguousarray(weights.transpose(numbers.rhs_spec))
    )
    name = graph.node(
        "Conv",
        channels_first.name,
        graph.name_of(weights),
        strides=list(params["window_strides"]),
        dilations=list(params["rhs_dilation"]),
        group=params["feature_group_count"],
        pads=[size for side in zip(*params["padding"], strict=True) for size in side],
    )
    shape = _shape(aval)
    result = Tensor(name, tuple(shape[axis] for axis in numbers.out_spec), np.dtype(aval.dtype))
    return [_permuted(graph, result, np.argsort(numbers.out_spec).tolist())]


OPERATORS: dict[str, Operator] = {
    **{name: _simple(operator) for name, operator in _ELEMENTWISE.items()},
    **{name: _compared(name) for name in _COMPARED},
    "broadcast_in_dim": _broadcast,
    "concatenate": _concatenate,
    "conv_general_dilated": _convolution,
    "convert_element_type": _convert,
    "copy": _same,
    "dot_general": _dot,
    "gather": _gather,
    "integer_pow": _power,
    "log1p": _log1p,
    "optimization_barrier": _same,
    "pad": _pad,
    "reduce_max": _reduced("ReduceMax"),
    "reduce_min": _reduced("ReduceMin"),
    "reduce_sum": _reduced("ReduceSum"),
    "reshape": _reshape,
    "rev": _reverse,
    "rsqrt": _one_over_root,
    "select_n": _select,
    "slice": _slice,
    "split": _split,
    "squeeze": _reshape,
    "stack": _stack,
    "stop_gradient": _same,
    "transpose": _transpose,
}
"""By the names of JAX's primitives."""
