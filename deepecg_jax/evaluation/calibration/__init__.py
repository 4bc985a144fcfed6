"""Is 0.2 one in five? Calibration measures and recalibration."""
