"""Things that drive, swim and fly, seen from the side."""

from .canvas import Canvas

GLASS = (150, 185, 205), (60, 85, 105)
RUBBER = (28, 28, 30)


def ship():
    """A cargo ship on the sea."""
    c = Canvas(192, seed=1)
    c.fill(c.box(0, 0, 100, 62), (120, 170, 215), (215, 228, 236))
    for x, y, w in ((12, 14, 26), (55, 9, 34), (80, 24, 22)):
        c.fill(c.ellipse(x, y, x + w, y + 7), (250, 250, 252), blur=2.0, alpha=0.6)
    sea = c.box(0, 60, 100, 100)
    c.fill(sea, (88, 130, 160), (22, 58, 92))
    c.texture(sea, 0.10, (9.0, 1.6))
    c.fill(c.polygon("6,51 94,49 88,69 15,69"), (38, 44, 58), (24, 28, 38))
    c.fill(c.polygon("12.5,64 89.5,64 88,69.5 15,69.5"), (150, 42, 34), (110, 28, 24))
    c.fill(c.line("6.5,52.4 93.5,50.6", 0.9), (230, 230, 226))
    colors = [(196, 72, 48), (58, 110, 160), (210, 160, 60), (90, 140, 92), (170, 170, 172)]
    for row in range(3):
        for i in range(6 - row):
            x = 32 + 8.6 * i + 4 * row
            color = colors[(i * 2 + row) % 5]
            c.fill(c.box(x, 45 - 5.2 * row, x + 8, 50 - 5.2 * row), color, tuple(v * 3 // 4 for v in color))
    c.fill(c.box(13, 34, 28, 51), (246, 246, 242), (205, 208, 212))
    c.fill(c.box(11, 28, 27, 35, 0.5), (252, 252, 250), (220, 222, 226))
    c.fill(c.box(12.5, 29.6, 25.6, 32), *GLASS)
    for y in (38, 42, 46):
        for x in range(15, 27, 3):
            c.fill(c.box(x, y, x + 1.6, y + 1.8), (60, 80, 100))
    c.fill(c.box(15, 17, 21, 28), (200, 60, 46), (150, 40, 34), horizontal=True)
    c.fill(c.box(15, 17, 21, 19.4), (40, 40, 44))
    c.fill(c.line("89,49 89,33", 0.8), (235, 235, 235))
    c.fill(c.line("24,28 24,14", 0.7), (235, 235, 235))
    c.fill(c.ellipse(4, 67.5, 96, 72), (225, 236, 242), blur=0.9, alpha=0.75)
    c.fill(c.box(12, 72, 90, 84), (16, 34, 54), blur=3.0, alpha=0.45)
    c.texture(c.box(0, 70, 100, 100), 0.08, (7.0, 1.4))
    return c


def airplane():
    """An airliner in the sky."""
    c = Canvas(256, seed=2)
    c.fill(c.everything(), (52, 118, 196), (160, 202, 236))
    for x, y, w, h in ((2, 74, 44, 12), (52, 80, 50, 13), (60, 6, 34, 7), (4, 16, 22, 5)):
        c.fill(c.ellipse(x, y, x + w, y + h), (248, 250, 252), blur=3.0, alpha=0.75)
    c.fill(c.polygon("46,46 58,46 46,27 41,27"), (176, 184, 194), (150, 158, 170))
    c.fill(c.polygon("12,46 22,46 11,25 4.5,25"), (30, 74, 150), (44, 96, 176))
    body = c.blob("5,45 20,43 50,42 80,42.5 91,45 96,49.5 90,53.5 70,55 30,54 14,50")
    c.fill(body, (250, 251, 252), (166, 176, 190))
    c.fill(c.line("10,48.6 94,50.2", 1.2), (36, 84, 160))
    for i in range(17):
        c.fill(c.box(25 + 3.5 * i, 45.4, 26.7 + 3.5 * i, 47.4, 0.5), (60, 84, 110))
    c.fill(c.polygon("88,44.8 91.6,45.8 93.4,47.6 88.5,47.4"), (46, 60, 80))
    c.fill(c.polygon("8,47.5 17,47.5 7,54 2.5,54"), (150, 160, 172), (190, 198, 206))
    c.fill(c.polygon("42,51 60,51 36,75 29,75"), (206, 212, 220), (142, 152, 166))
    for x, y in ((45, 58), (37, 66)):
        c.fill(c.box(x, y, x + 11, y + 4.6, 2.3), (226, 230, 234), (112, 120, 132))
        c.fill(c.ellipse(x + 9.4, y + 0.4, x + 11.4, y + 4.2), (40, 46, 56))
    return c


def _road(c, horizon, ground=(112, 140, 84)):
    """Sky, a line of trees, grass and asphalt to stand on."""
    c.fill(c.box(0, 0, 100, horizon + 2), (140, 184, 222), (226, 234, 238))
    for x in range(-6, 104, 9):
        top = horizon - 13 - 5 * c.rng.random()
        tree = c.ellipse(x, top, x + 17, horizon + 8)
        c.fill(tree, (70, 100, 62), (44, 72, 44))
        c.texture(tree, 0.12, (2.5, 2.5))
    c.fill(c.box(0, horizon, 100, horizon + 12), ground, tuple(v * 4 // 5 for v in ground))
    c.soften(0.5)
    road = c.box(0, horizon + 9, 100, 101)
    c.fill(road, (122, 122, 126), (84, 84, 88))
    c.texture(road, 0.05, (0.8, 0.5))


def _wheel(c, x, y, r, rim=(196, 200, 206)):
    c.fill(c.ellipse(x - r, y - r, x + r, y + r), RUBBER)
    c.fill(c.ellipse(x - 0.62 * r, y - 0.62 * r, x + 0.62 * r, y + 0.62 * r), rim, tuple(v // 2 for v in rim))
    c.fill(c.ellipse(x - 0.2 * r, y - 0.2 * r, x + 0.2 * r, y + 0.2 * r), (60, 62, 66))


def _shadow(c, x0, x1, y):
    c.fill(c.ellipse(x0, y - 3, x1, y + 4), (14, 14, 18), blur=1.4, alpha=0.75)


def car():
    """A red car on a road."""
    c = Canvas(256, seed=3)
    _road(c, 38)
    _shadow(c, 6, 96, 75)
    body = c.blob("6,60 8,53 20,50 34,48 66,48 84,51 93,55 95,63 94,71 70,73.5 30,73.5 8,71")
    c.fill(body, (226, 48, 44), (120, 14, 18))
    cabin = c.blob("22,51 31,37.5 40,33.5 56,33 66,36.5 77,50 60,52 36,52")
    c.fill(cabin, (222, 44, 42), (176, 26, 28))
    c.fill(c.polygon("27,49.5 34,38.6 41,36.4 47,36.2 47,49.5"), *GLASS)
    c.fill(c.polygon("49.5,36.2 56,36 63.5,38.8 72.5,49.5 49.5,49.5"), *GLASS)
    c.fill(c.line("9,55 30,53 70,53 92,57", 0.8, curved=True), (252, 130, 120), blur=0.3)
    c.fill(c.line("48.2,51 48.2,71", 0.5), (110, 12, 16))
    c.fill(c.box(51, 55, 55.5, 56.2, 0.5), (90, 10, 14))
    c.fill(c.blob("88,55 93,56.5 94.5,60 89,59"), (255, 248, 220), (220, 210, 180))
    c.fill(c.blob("6.4,56 10,55.5 10,60 6,61"), (255, 120, 90), (150, 20, 20))
    c.fill(c.box(7, 68, 95, 71.5, 1.5), (60, 12, 16), (36, 10, 12))
    for x in (24, 77):
        c.fill(c.ellipse(x - 10, 60, x + 10, 80), (24, 8, 10))
        _wheel(c, x, 71, 8.6)
    return c


def truck():
    """A lorry with a tarpaulin."""
    c = Canvas(256, seed=4)
    _road(c, 52)
    _shadow(c, 3, 97, 82)
    c.fill(c.box(5, 70, 94, 76), (46, 48, 52), (26, 26, 30))
    c.fill(c.box(3, 50, 66, 71, 0.8), (250, 196, 40), (210, 140, 10))
    for x in range(7, 66, 6):
        c.fill(c.line([(x, 50), (x, 71)], 0.8), (140, 93, 6))
    for y in (56, 63):
        c.fill(c.line([(3, y), (66, y)], 0.7), (140, 93, 6))
    c.fill(c.blob("3,50 3.5,34 10,29 34,27 60,29 65.5,34 66,50 34,52"), (60, 110, 190), (24, 56, 120))
    for x in range(12, 64, 10):
        c.fill(c.line([(x, 30), (x + 0.5, 50)], 0.6), (18, 42, 90), blur=0.3)
    c.fill(c.polygon("69,36 84,36 90,40 95,56 96,75 69,75"), (250, 196, 40), (210, 140, 10))
    c.fill(c.polygon("75,40 84,40 88,43 91.5,55 75,55"), *GLASS)
    c.fill(c.line("73.4,38 73.4,73", 0.5), (105, 70, 5))
    c.fill(c.box(75.5, 59, 79, 60.2, 0.4), (40, 34, 24))
    c.fill(c.box(91.5, 62, 96, 66, 0.6), (255, 246, 214))
    c.fill(c.box(88, 70.5, 97.5, 75.5, 0.8), (70, 74, 80), (36, 38, 42))
    c.fill(c.box(92, 45, 94.6, 52, 0.6), (30, 32, 36))
    for x in (19, 36, 83):
        c.fill(c.ellipse(x - 9, 65, x + 9, 83), (18, 18, 20))
        _wheel(c, x, 76, 7.8)
    return c


def bus():
    """A coach."""
    c = Canvas(192, seed=5)
    _road(c, 50)
    _shadow(c, 2, 98, 84)
    c.fill(c.box(3, 16, 97, 80, 4.0), (70, 130, 210), (26, 70, 140))
    c.fill(c.box(7, 14, 83, 19, 1.5), (240, 242, 244), (190, 196, 204))
    c.fill(c.box(5, 23, 97, 46, 2.0), (22, 28, 36), (34, 42, 52))
    for i in range(5):
        c.fill(c.box(7 + 14.4 * i, 24.5, 20.6 + 14.4 * i, 44.5, 0.8), (96, 122, 142), (40, 52, 64))
    c.fill(c.box(3, 51, 97, 55), (240, 240, 240))
    c.fill(c.polygon("3,66 53,55 65,55 17,78 3,78"), (240, 240, 240))
    c.fill(c.box(82, 24, 90, 77, 0.8), (30, 38, 46))
    c.fill(c.box(83, 25.2, 89, 74, 0.6), *GLASS)
    c.fill(c.polygon("91.5,22 96.5,22 97,54 91.5,52"), *GLASS)
    c.fill(c.box(93.5, 67, 97, 72, 0.8), (255, 248, 220))
    c.fill(c.box(95, 22, 99.5, 30, 0.8), (26, 28, 32))
    c.fill(c.box(3, 77, 97, 80.5, 1.0), (44, 44, 48))
    for x in (22, 71):
        c.fill(c.ellipse(x - 8.6, 69, x + 8.6, 86.2), (26, 24, 24))
        _wheel(c, x, 78.5, 7)
    return c


def motorbike():
    """A motorbike on its stand."""
    c = Canvas(256, seed=6)
    _road(c, 44)
    _shadow(c, 8, 94, 84)
    for x in (24, 77):
        c.fill(c.ellipse(x - 16, 52, x + 16, 84), RUBBER)
        c.fill(c.ellipse(x - 11.5, 56.5, x + 11.5, 79.5), (150, 150, 150), (110, 110, 112))
        c.fill(c.ellipse(x - 9.5, 58.5, x + 9.5, 77.5), (84, 86, 88), (70, 72, 74))
        c.fill(c.ellipse(x - 3.5, 64.5, x + 3.5, 71.5), (190, 192, 196), (90, 92, 96))
    c.fill(c.line("77,68 66,32", 3.0), (200, 204, 208), (120, 124, 130))
    c.fill(c.line("24,68 48,66 60,50", 3.0), (40, 42, 46))
    c.fill(c.blob("38,56 58,52 62,64 56,74 40,74 34,66"), (120, 124, 130), (46, 48, 52))
    for y in (58, 61, 64):
        c.fill(c.line([(42, y), (58, y - 1)], 0.8), (180, 184, 188))
    c.fill(c.line("12,73 44,73", 4.2), (210, 212, 216), (120, 122, 126))
    c.fill(c.blob("40,50 46,41 58,38 66,42 66,50 54,55"), (222, 40, 36), (120, 12, 16))
    c.fill(c.blob("9,44 22,42 36,46 44,46 44,52 30,53 14,49"), (52, 50, 52), (20, 20, 22))
    c.fill(c.blob("6,47 14,48 30,53 34,58 22,55"), (206, 34, 32), (110, 12, 16))
    c.fill(c.blob("62,50 76,47 92,56 94,62 84,54 72,53"), (222, 40, 36), (130, 16, 18))
    c.fill(c.line("66,33 59,29 54,31", 2.0, curved=True), (36, 36, 40))
    c.fill(c.ellipse(66, 33, 76, 44), (200, 204, 208), (90, 94, 100))
    c.fill(c.ellipse(71, 34.5, 77, 42.5), (255, 250, 226), (220, 214, 190))
    c.fill(c.line("63,31 60,22", 0.8), (40, 40, 44))
    c.fill(c.ellipse(56.5, 18, 63.5, 23.5), (60, 62, 66), (30, 30, 32))
    return c
