"""The S4 family: a convolutional stem and structured state spaces, the encoder of ECG-CPC."""
