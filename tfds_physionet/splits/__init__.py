"""Ten folds: whose record it is, which are the same signal, and a fair share of every class."""
