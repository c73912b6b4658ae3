"""The TFDS data set physionet2021."""
