"""Deployment over ssh, on the desktop. `board/` is what runs on the other side; `units/` what systemd gets there."""
