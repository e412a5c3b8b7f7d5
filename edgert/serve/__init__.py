"""The live page: what a camera sees, over HTTP."""
