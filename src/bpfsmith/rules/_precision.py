"""What each rule said about public projects; written by `./dev precision FOLDER --write`."""

PROJECTS = 40
LINES = 85207
# code: findings, projects they are in, arguable ones, false ones
SEEN: dict[str, tuple[int, int, int, int]] = {
    "AYA001": (2, 1, 0, 0),
    "AYA002": (18, 14, 0, 0),
    "AYA030": (4, 3, 0, 0),
    "AYA034": (2, 1, 0, 0),
    "AYA038": (58, 16, 0, 0),
    "AYA045": (5, 3, 0, 0),
    "AYA053": (28, 26, 0, 0),
    "AYA055": (1, 1, 0, 0),
    "AYA060": (4, 1, 4, 0),
    "AYA067": (2, 1, 0, 0),
    "AYA082": (4, 4, 0, 0),
    "AYA088": (2, 1, 0, 0),
    "AYA091": (3, 2, 3, 0),
    "AYA124": (5, 5, 0, 0),
    "AYA126": (4, 4, 1, 0),
    "AYA352": (1, 1, 0, 0),
    "AYA419": (7, 7, 3, 0),
    "AYA436": (2, 1, 0, 0),
    "AYA437": (1, 1, 0, 0),
    "AYA440": (1, 1, 0, 0),
    "AYA500": (2, 2, 0, 0),
    "AYA502": (23, 21, 0, 0),
    "AYA601": (1, 1, 0, 0),
    "AYA604": (1, 1, 0, 0),
    "AYA606": (1, 1, 0, 0),
    "AYA703": (1, 1, 0, 0),
    "AYA900": (1, 1, 0, 0),
    "AYA907": (10, 8, 0, 0),
    "AYA908": (9, 6, 1, 0),
    "AYA917": (1, 1, 0, 0),
    "AYA923": (1, 1, 0, 0),
}
