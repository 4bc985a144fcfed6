"""What is hidden of an ECG: spans, blocks, random tokens, whole leads; shapes are always static."""
