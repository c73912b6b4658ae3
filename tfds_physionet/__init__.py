"""The PhysioNet/CinC Challenge 2021 data set: records, preparation, folds and the TFDS builder.

Importing the package registers the builder, so that `tfds.load('physionet2021', data_dir=...)`
works; TensorFlow itself is not imported before it is needed. Worker processes, which read records
and build nothing, are spared TensorFlow Datasets (see `pool`).
"""

import os

if "TFDS_PHYSIONET_WORKER" not in os.environ:
    from tfds_physionet.physionet2021 import physionet2021_dataset_builder as _builder  # noqa: F401
