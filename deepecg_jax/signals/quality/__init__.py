"""Can a recording be trusted? Checks and measures of quality."""
