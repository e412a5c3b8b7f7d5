"""The model file: `reader` checks and maps it on the device, `writer` makes it on the desktop. See docs/format.md."""
