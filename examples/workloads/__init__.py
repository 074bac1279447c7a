"""What benchmark.py times, written twice: the same training steps in tinygen and in PyTorch."""
