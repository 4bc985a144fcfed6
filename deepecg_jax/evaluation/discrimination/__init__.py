"""Does a score rank and decide? Thresholds, metrics at them, curves."""
