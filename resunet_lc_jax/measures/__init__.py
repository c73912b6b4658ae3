"""What predictions are worth, in NumPy on the host: metrics, thresholds, intervals, reports."""
