"""What is wrong with a recording, in fixed words."""
