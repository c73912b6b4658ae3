"""Scores a WFDB record with an exported network: python run_stablehlo.py MODEL.stablehlo RECORD."""

import json
import sys
from pathlib import Path

import numpy as np
import scipy.signal
import wfdb
from jax import export

network = export.deserialize(bytearray(Path(sys.argv[1]).read_bytes()))
about = json.loads(Path(sys.argv[1] + ".json").read_text())
length = about["length"]
record = wfdb.rdrecord(sys.argv[2], physical=False)
native = record.d_signal.T[[record.sig_name.index(lead) for lead in about["leads"]]]
mean = native.mean(axis=1, keepdims=True)
samples = int(native.shape[1] * about["sampling_rate"] / record.fs)
signal = np.rint(scipy.signal.resample(native - mean, samples, axis=1) + mean)
z = (signal - signal.mean(axis=1, keepdims=True)) / (signal.std(axis=1, keepdims=True) + 1e-8)
starts = np.linspace(0, max(samples - length, 0), max(-(-samples // length), 1)).round().astype(int)
windows = np.zeros((len(starts), len(z), length), np.float32)
for window, start in zip(windows, starts, strict=True):
    window[:, : samples - start] = z[:, start : start + length]
scores = network.call(windows, np.ones(windows.shape[:2], np.float32))[1].mean(axis=0)
for name, score in zip(about["classes"], scores, strict=True):
    print(f"{name},{score:.9g},{int(score >= about['thresholds'][name])}")
