"""The pictures of a folder, by name."""

import os
import sys

from edgert.errors import InputError
from edgert.sources.frame import Frame


class Pictures:
    """Every picture once, as RGB; one that cannot be read is named on stderr and left out."""

    live = False
    fps = 1.0  # for a video made of them

    def __init__(self, folder):
        from edgert.vision.picture import SUFFIXES

        self.folder = folder
        self.names = sorted(name for name in os.listdir(folder) if name.lower().endswith(SUFFIXES))
        if not self.names:
            raise InputError(f"{folder}: no pictures in this folder")

    def frames(self):
        from edgert.vision.picture import open_picture

        for number, name in enumerate(self.names):
            try:
                picture = open_picture(os.path.join(self.folder, name), name, "RGB", at_least=2**16)
            except InputError as error:
                print(f"edgert: {error}", file=sys.stderr)
                continue
            yield Frame(picture.tobytes(), "RGB", *picture.size, number, name=name)

    def close(self):
        self.names = []
