"""A frog, a bird and a horse."""

from .canvas import Canvas


def frog():
    """A green frog among brown leaves."""
    c = Canvas(256, seed=7)
    c.fill(c.everything(), (120, 104, 78), (84, 68, 48))
    for _ in range(70):
        x, y = c.rng.uniform(-10, 100, 2)
        w, h = c.rng.uniform(8, 22), c.rng.uniform(4, 12)
        tone = c.rng.integers(-28, 28)
        leaf = c.blob([(x, y + h / 2), (x + w / 3, y), (x + w, y + h / 3), (x + w / 2, y + h)])
        c.fill(leaf, (128 + tone, 104 + tone, 70 + tone), (84 + tone, 62 + tone, 40 + tone))
    c.texture(c.everything(), 0.10, (1.5, 1.5))
    c.soften(0.7)
    c.fill(c.ellipse(10, 70, 92, 92), (20, 16, 10), blur=3.0, alpha=0.7)
    for side in (-1, 1):
        thigh = ((16, 52), (32, 50), (42, 62), (40, 78), (28, 84), (20, 74))
        leg = c.blob([(50 + side * x, y) for x, y in thigh])
        c.fill(leg, (112, 158, 58), (48, 84, 30))
        for x, y in ((46, 86), (40, 89), (33, 90)):
            toe = [(50 + side * 34, 80), (50 + side * (34 + x) / 2, 84), (50 + side * x, y)]
            c.fill(c.limb(toe, 4.0, 2.0), (86, 130, 46), (56, 92, 34))
    body = c.blob("24,62 26,44 36,32 50,29 64,32 74,44 76,62 70,78 50,84 30,78")
    c.fill(body, (148, 190, 76), (66, 108, 40))
    belly = c.blob("34,66 50,60 66,66 64,78 50,83 36,78")
    c.fill(belly, (222, 220, 168), (180, 180, 120), blur=1.2)
    c.shade(body, c.blob("30,58 36,38 50,32 64,38 70,58 62,72 50,76 38,72"), 3.0)
    for i, (x, y) in enumerate(((40, 38), (60, 40), (50, 35), (32, 52), (68, 54), (47, 43), (55, 46))):
        r = 1.5 + 0.3 * (i % 4)
        c.fill(c.ellipse(x - r, y - r, x + r, y + 0.8 * r), (60, 96, 34), blur=0.4, alpha=0.8)
    c.fill(c.line("27,52 38,58 50,59.5 62,58 73,52", 1.1, curved=True), (40, 62, 22))
    for x in (34, 66):
        c.fill(c.ellipse(x - 8, 22, x + 8, 38), (146, 188, 76), (84, 128, 48))
        c.fill(c.ellipse(x - 5.6, 24.4, x + 5.6, 35.6), (226, 180, 60), (170, 110, 24))
        c.fill(c.ellipse(x - 4.2, 27.6, x + 4.2, 32.6), (14, 12, 10))
        c.fill(c.ellipse(x - 3.4, 26.8, x - 1, 29.2), (250, 250, 246))
    for x in (47.4, 52.6):
        c.fill(c.ellipse(x - 0.7, 48, x + 0.7, 49.2), (44, 66, 26))
    for side in (-1, 1):
        arm = [(50 + side * 20, 64), (50 + side * 25, 74), (50 + side * 19, 84)]
        c.fill(c.limb(arm, 8.0, 5.0), (128, 172, 66), (64, 104, 38))
        for dx in (-5, 0, 5):
            tip = (50 + side * 18 + dx, 90)
            c.fill(c.limb([arm[-1], ((arm[-1][0] + tip[0]) / 2, 87), tip], 2.6, 1.6), (112, 154, 58), (76, 116, 44))
    c.texture(body, 0.05, (1.2, 1.2))
    return c


def bird():
    """A small bird on a branch."""
    c = Canvas(256, seed=8)
    c.fill(c.everything(), (150, 176, 112), (92, 128, 66))
    for _ in range(26):
        x, y = c.rng.uniform(-10, 100, 2)
        r, tone = c.rng.uniform(8, 22), c.rng.integers(-30, 40)
        c.fill(c.ellipse(x, y, x + r, y + r), (120 + tone, 150 + tone, 88 + tone), blur=3.0, alpha=0.5)
    c.soften(1.5)
    branch = c.limb("-4,84 30,78 70,80 104,72", 7.0, 5.0)
    c.fill(branch, (128, 100, 74), (66, 48, 34))
    c.texture(branch, 0.14, (4.0, 0.7))
    c.fill(c.polygon("30,62 6,84 13,89 38,70"), (110, 84, 62), (62, 46, 36))
    for x in (49, 57):
        c.fill(c.line([(x, 70), (x + 1, 79)], 1.4), (92, 64, 48))
        for dx in (-3, 0, 3):
            c.fill(c.line([(x + 1, 78.5), (x + 1 + dx, 81.5)], 1.1), (92, 64, 48))
    body = c.blob("26,64 32,48 46,38 54,28 64,20 75,21 80,29 78,40 76,54 66,69 48,74 34,71")
    c.fill(body, (164, 122, 84), (206, 178, 140))
    chest = c.blob("74,38 77,50 68,67 52,73 44,70 60,58 68,44")
    c.fill(chest, (226, 128, 66), (240, 214, 178), blur=1.0)
    c.shade(body, c.blob("30,60 40,46 56,34 64,23 73,24 77,32 72,54 62,64 46,68"), 2.6)
    wing = c.blob("24,68 32,52 46,44 57,48 56,58 44,66 30,72")
    c.fill(wing, (128, 92, 62), (84, 58, 42))
    for i in range(4):
        feather = [(26 + 3 * i, 69 - 3 * i), (40 + 3 * i, 62 - 2.4 * i), (53 + i, 56 - 2 * i)]
        c.fill(c.line(feather, 0.9, curved=True), (196, 160, 120))
    c.texture(body, 0.06, (1.6, 1.0))
    c.fill(c.polygon("78.5,27 91,31.5 78.5,33.5"), (74, 66, 58), (40, 34, 30))
    c.fill(c.ellipse(70, 25.4, 75, 30.4), (18, 14, 12))
    c.fill(c.ellipse(71.2, 26.2, 72.8, 27.8), (250, 250, 250))
    return c


def horse():
    """A brown horse on a meadow."""
    c = Canvas(256, seed=9)
    c.fill(c.box(0, 0, 100, 60), (150, 192, 228), (222, 232, 236))
    for x in range(-8, 104, 12):
        c.fill(c.ellipse(x, 40 + 5 * c.rng.random(), x + 22, 66), (96, 126, 84), (70, 100, 62))
    meadow = c.box(0, 56, 100, 101)
    c.fill(meadow, (132, 164, 84), (84, 122, 52))
    c.texture(meadow, 0.10, (1.2, 2.4))
    c.soften(0.7)
    c.fill(c.ellipse(18, 85, 82, 94), (30, 46, 18), blur=2.0, alpha=0.6)
    for points in ("33,58 29,72 32,80 30,90", "64,60 67,74 65,90"):
        c.fill(c.limb(points, 7.5, 3.2), (84, 50, 28), (44, 26, 16))
    c.fill(c.limb("21,46 14,54 13,66 16,76", 4.0, 6.5), (46, 28, 18), (28, 18, 12))
    body = c.blob(
        "20,46 26,40 40,42 54,41 63,36 71,24 78,15 84,14 88,20 95,29 93,34 86,32 80,32 76,42 73,54 66,62 50,62 36,63 "
        "24,62 19,54"
    )
    for points in ("27,56 24,70 27,79 25,91", "68,56 70,72 70,91"):
        c.fill(c.limb(points, 10.0, 3.6), (140, 84, 44), (72, 42, 24))
    c.fill(body, (168, 104, 56), (104, 60, 32))
    c.shade(body, c.blob("24,46 40,44 58,43 68,34 80,17 86,24 78,30 70,50 50,56 28,56"), 2.4)
    c.fill(c.blob("80,13 74,16 66,27 60,37 64,39 72,30 79,20"), (50, 30, 20), (30, 18, 12))
    c.fill(c.polygon("80,15 81.5,8 84.5,14.5"), (120, 72, 40))
    c.fill(c.ellipse(85, 19, 87, 21.2), (16, 10, 8))
    c.fill(c.ellipse(92, 29.4, 93.4, 30.8), (40, 24, 16))
    for x, y in ((25, 91), (30, 90), (70, 91), (65, 90)):
        c.fill(c.polygon([(x - 2.2, y - 2), (x + 2.2, y - 2), (x + 3.2, y + 1.4), (x - 2.6, y + 1.4)]), (40, 30, 26))
    c.texture(body, 0.04, (2.0, 2.0))
    return c
