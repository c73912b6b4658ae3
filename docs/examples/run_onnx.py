"""Scores a WFDB record with an exported .onnx file: python run_onnx.py MODEL.onnx RECORD."""

import json
import sys

import numpy as np
import onnxruntime
import scipy.signal
import wfdb

session = onnxruntime.InferenceSession(sys.argv[1])
about = session.get_modelmeta().custom_metadata_map
leads, rate, length = (json.loads(about[key]) for key in ("leads", "sampling_rate", "length"))
record = wfdb.rdrecord(sys.argv[2], physical=False)
native = record.d_signal.T[[record.sig_name.index(lead) for lead in leads]]
mean = native.mean(axis=1, keepdims=True)
samples = int(native.shape[1] * rate / record.fs)
signal = np.rint(scipy.signal.resample(native - mean, samples, axis=1) + mean)
starts = np.linspace(0, max(samples - length, 0), max(-(-samples // length), 1)).round().astype(int)
windows = np.full((len(starts), len(leads), length), json.loads(about["missing"]), np.int16)
for window, start in zip(windows, starts, strict=True):
    window[:, : samples - start] = signal[:, start : start + length]
inputs = {"signal": windows, "lead_present": np.ones((len(starts), len(leads)), bool)}
for name, row in ("lead_mean", signal.mean(axis=1)), ("lead_std", signal.std(axis=1) + 1e-8):
    inputs[name] = np.tile(row.astype(np.float32), (len(starts), 1))
scores = session.run(["scores"], inputs)[0].mean(axis=0)
for (name, threshold), score in zip(json.loads(about["thresholds"]).items(), scores, strict=True):
    print(f"{name},{score:.9g},{int(score >= threshold)}")
