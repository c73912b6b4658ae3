"""From a record's files to a prepared signal: finding, headers, samples, leads, rates."""
