"""PyTorch's weights and moments as this project's variables and back, exactly."""

import re
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from resunet_lc_jax.pytorch.adam import AdamState, StateDict
from resunet_lc_jax.pytorch.misfit import misfit
from resunet_lc_jax.pytorch.names import canonical, torch_axes, torch_name, torch_rank

Variables = Mapping[str, Any]


def to_variables(state_dict: StateDict, template: Variables, model_name: str) -> dict[str, Any]:
    """Variables of a network from a PyTorch state_dict.

    Args:
        state_dict: arrays by their PyTorch names; 'num_batches_tracked' is left out.
        template: {'params', 'batch_stats'} of the network (arrays or ShapeDtypeStructs): the
            structure, shapes and dtypes of the result.
        model_name: the network's name, for its aliases and for errors.

    Returns:
        Variables like the template, as NumPy arrays.

    Raises:
        ValueError: naming what is missing, unexpected or misshaped, or numbers that cannot be.
    """
    given = by_own_name(state_dict, model_name)
    leaves, tree = jax.tree_util.tree_flatten_with_path(template)
    wanted = {torch_name(path): (path, leaf) for path, leaf in leaves}
    axes = {name: torch_axes(path, len(leaf.shape)) for name, (path, leaf) in wanted.items()}
    shapes = {
        name: tuple(leaf.shape[axis] for axis in axes[name]) for name, (_, leaf) in wanted.items()
    }
    if wrong := misfit({name: np.shape(a) for name, a in given.items()}, shapes, model_name):
        raise ValueError(wrong)
    arrays = []
    for name, (_, leaf) in wanted.items():
        with np.errstate(over="ignore"):  # found below
            array = np.ascontiguousarray(given[name].transpose(np.argsort(axes[name])), leaf.dtype)
        _check_numbers(name, array)
        arrays.append(array)
    return jax.tree_util.tree_unflatten(tree, arrays)


def by_own_name(state_dict: StateDict, model_name: str) -> dict[str, np.ndarray]:
    """The weights by the names used here, without counts of steps."""
    weights = {k: v for k, v in state_dict.items() if not k.endswith("num_batches_tracked")}
    own = {name: canonical(name, model_name) for name in weights}
    # Where a file has both names of a layer, one stays as it is and is found not to fit.
    return {(name if own[name] in weights else own[name]): array for name, array in weights.items()}


def _check_numbers(name: str, array: np.ndarray) -> None:
    if wrong := array.size - np.isfinite(array).sum():
        raise ValueError(f"{name} has {wrong:,} values of {array.size:,} that are not finite")
    if name.endswith("running_var") and array.min() < 0:
        raise ValueError(f"{name} holds a negative variance, {array.min():.3g}")


def to_state_dict(
    variables: Variables, *, num_batches_tracked: int | Mapping[str, int] = 0, head_name: str = "fc"
) -> dict[str, np.ndarray]:
    """The state_dict of a network, in PyTorch's order, loadable with strict=True.

    Args:
        variables: {'params', 'batch_stats'}, or {'params'} alone (also of gradients, moments).
        num_batches_tracked: BatchNorm's count of steps, the same for all layers or by the full
            PyTorch name (see `batches_tracked`).
        head_name: what the layer 'fc' is to be called (see `head_name_of`).

    Returns:
        Arrays by their PyTorch names.
    """
    arrays = {}
    for path, leaf in jax.tree_util.tree_flatten_with_path(variables)[0]:
        axes = torch_axes(path, np.ndim(leaf))
        arrays[torch_name(path)] = np.ascontiguousarray(np.asarray(leaf).transpose(axes))
    for name in [name for name in arrays if name.endswith(".running_mean")]:
        name = name.removesuffix("running_mean") + "num_batches_tracked"
        count = num_batches_tracked
        arrays[name] = np.array(count if isinstance(count, int) else count.get(name, 0), np.int64)
    ordered = {name: arrays[name] for name in sorted(arrays, key=torch_rank)}
    return {re.sub(r"^fc\.", f"{head_name}.", name): array for name, array in ordered.items()}


def batches_tracked(state_dict: StateDict) -> dict[str, int]:
    """The counts of steps that a state_dict's BatchNorm layers keep, by name."""
    names = [name for name in state_dict if name.endswith("num_batches_tracked")]
    return {name: int(state_dict[name]) for name in names}


def head_name_of(state_dict: StateDict, model_name: str) -> str:
    """What a state_dict calls the layer 'fc': res2d_maxpool's is 'fc_1' in some files."""
    aliased = (name for name in state_dict if canonical(name, model_name) != name)
    return next(aliased, "fc.").split(".")[0]


def to_moments(adam: AdamState, params: Variables, model_name: str) -> tuple[Any, Any, int]:
    """optax.adam's (mu, nu, count) from PyTorch's state; params: the network's, as template."""
    moments = {}
    for key in ("exp_avg", "exp_avg_sq"):
        try:
            moments[key] = to_variables(getattr(adam, key), {"params": params}, model_name)
        except ValueError as error:
            raise ValueError(f"Adam's {key}: {error}") from error
    mu, nu = (moments[key]["params"] for key in ("exp_avg", "exp_avg_sq"))
    if any(leaf.min() < 0 for leaf in jax.tree.leaves(nu)):
        raise ValueError("Adam's exp_avg_sq holds a negative mean of squares")
    return mu, nu, adam.step


def from_moments(
    mu: Variables, nu: Variables, count: int, *, learning_rate: float, head_name: str = "fc"
) -> AdamState:
    """PyTorch's state from optax.adam's mu, nu (trees like params) and count."""
    exp_avg, exp_avg_sq = (
        to_state_dict({"params": moments}, head_name=head_name) for moments in (mu, nu)
    )
    return AdamState(exp_avg, exp_avg_sq, int(count), learning_rate)
