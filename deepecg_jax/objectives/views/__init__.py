"""Two views of an ECG agree: contrast, BYOL, SimDINO."""
