"""How does an ECG look? ECG paper as SVG and as PNG."""
