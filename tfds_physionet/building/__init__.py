"""A build of the data set: what goes in, the files it becomes, and where they lie."""
