"""Draws the demo's pictures: `python models/pictures/draw.py [FOLDER]` (default: beside this script).

They are drawings, made by this script alone; no photograph is part of them. docs: models/pictures/card.md.
"""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parents[1]))

from models.pictures import animals, vehicles  # noqa: E402

PICTURES = {
    "ship.png": vehicles.ship,
    "airplane.jpg": vehicles.airplane,
    "car.jpg": vehicles.car,
    "truck.jpg": vehicles.truck,
    "bus.png": vehicles.bus,
    "motorbike.jpg": vehicles.motorbike,
    "frog.jpg": animals.frog,
    "bird.jpg": animals.bird,
    "horse.jpg": animals.horse,
}


def main():
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE
    folder.mkdir(parents=True, exist_ok=True)
    for name, scene in PICTURES.items():
        picture = scene().finished()
        if name.endswith(".jpg"):
            picture.save(folder / name, quality=88)
        else:
            picture.save(folder / name, optimize=True)
        print(f"{name:16s} {(folder / name).stat().st_size:7d} bytes")


if __name__ == "__main__":
    main()
