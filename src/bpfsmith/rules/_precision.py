"""What each rule said about public projects; written by `./dev precision FOLDER --write`."""

PROJECTS = 24
LINES = 79128
# code: findings, projects they are in, arguable ones, false ones
SEEN: dict[str, tuple[int, int, int, int]] = {
    "AYA002": (9, 7, 0, 0),
    "AYA030": (1, 1, 0, 0),
    "AYA038": (25, 7, 0, 0),
    "AYA053": (13, 11, 0, 0),
    "AYA060": (4, 1, 0, 0),
    "AYA067": (2, 1, 0, 0),
    "AYA082": (2, 2, 0, 0),
    "AYA091": (3, 2, 0, 0),
    "AYA124": (6, 5, 0, 0),
    "AYA126": (11, 2, 0, 0),
    "AYA352": (1, 1, 0, 0),
    "AYA419": (4, 4, 0, 0),
    "AYA500": (2, 2, 0, 0),
    "AYA502": (11, 9, 0, 0),
    "AYA907": (2, 2, 0, 0),
    "AYA908": (1, 1, 0, 0),
}
