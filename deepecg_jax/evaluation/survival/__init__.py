"""Time to event: how well a score at the ECG ranks and sizes the risk of a later event."""
