"""What `accelerator.py` measures: one file a subject."""
