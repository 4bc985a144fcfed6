"""Random changes of ECGs on the device, for pretraining and fine-tuning."""
