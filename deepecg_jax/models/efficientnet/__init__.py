"""The EfficientNet family: DeepECG-SL's one-dimensional EfficientNet and its variants."""
