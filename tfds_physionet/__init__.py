"""The PhysioNet/CinC Challenge 2021 data set: records, preparation, folds and the TFDS builder."""
