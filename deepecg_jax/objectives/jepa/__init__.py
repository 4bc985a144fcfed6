"""JEPA: the features that a slower copy of the encoder has of hidden tokens are predicted."""
