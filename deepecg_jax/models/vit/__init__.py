"""The ViT family: a pre-norm transformer over patches of an ECG."""
