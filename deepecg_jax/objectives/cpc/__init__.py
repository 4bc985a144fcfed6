"""CPC: later tokens of an ECG are told apart from others, from what came before."""
