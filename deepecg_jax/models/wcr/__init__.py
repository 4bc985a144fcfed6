"""The WCR family: wav2vec 2.0 for ECG, a convolutional stem and a transformer."""
