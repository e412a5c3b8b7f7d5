"""The board's side: see main.py. Standard library only, Python 3.9 or newer."""
