"""What is learned: objectives of pretraining, losses of fine-tuning, random views of ECGs."""
