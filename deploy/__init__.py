"""Deployment over ssh, from the desktop. `board/` is what runs on the other side."""
