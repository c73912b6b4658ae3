"""Starts `resunet_lc_jax.cli` from a checkout; installed, the command is `resunet-lc`."""

from resunet_lc_jax.cli import run

if __name__ == "__main__":
    run()
