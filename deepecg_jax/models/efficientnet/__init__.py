"""The EfficientNet family: DeepECG-SL's supervised one-dimensional EfficientNet and its variants."""
