"""From the prepared data set to batches: selection, windows, leads, the stream."""
