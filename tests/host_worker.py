"""One of several processes that take five SGD steps together; run by test_hosts.

python host_worker.py COORDINATOR PROCESSES PROCESS DTYPE OUTPUT
"""

import os
import sys
from functools import partial

os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=4"

import jax
import numpy as np
import optax
from batches import as_dtype, random_batch
from small_network import small_network

from resunet_lc_jax.devices import hosts, parallel
from resunet_lc_jax.learning import steps
from resunet_lc_jax.learning.state import create_state, init_variables


def main(coordinator: str, processes: str, process: str, dtype: str, output: str) -> None:
    jax.config.update("jax_enable_x64", dtype == "float64")
    hosts.join(coordinator, int(processes), int(process))
    devices = parallel.choose_devices("auto")
    model, tx = small_network(dtype=dtype), optax.sgd(0.1)
    axis = devices.axis_name
    step = partial(steps.train_step, model=model.over(axis), tx=tx, seed=3, axis_name=axis)
    compiled = parallel.compile_train_step(step, devices)
    variables = init_variables(model, seed=0, num_leads=12, length=128)
    state = parallel.place_state(create_state(variables, tx), devices)
    rows = np.split(np.arange(8), int(processes))[int(process)]
    for seed in range(5):
        batch = as_dtype(random_batch(seed, size=8), dtype)
        own = {name: values[rows] for name, values in batch.items()}
        state, _ = compiled(state, parallel.place_batch(own, devices))
    found = hosts.total(np.arange(4) * (int(process) + 1))
    np.testing.assert_array_equal(found, np.arange(4) * sum(range(1, int(processes) + 1)))
    assert hosts.any_of(int(process) == 1) and not hosts.any_of(False)
    names = hosts.joined([f"A000{process}", "é" * 9])
    assert names == [name for i in range(int(processes)) for name in (f"A000{i}", "é" * 9)]
    if hosts.is_main():
        leaves = [np.asarray(x) for x in jax.tree.leaves((state.params, state.batch_stats))]
        np.savez(output, *leaves)
    hosts.wait("end")


if __name__ == "__main__":
    main(*sys.argv[1:])
