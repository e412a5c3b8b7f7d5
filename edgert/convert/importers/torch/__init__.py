"""PyTorch: exported programs, from memory or from a .pt2 file."""
