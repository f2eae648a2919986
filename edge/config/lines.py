"""On which line of a TOML text each key stands.

`tomllib` gives values without places, and an operator wants the place. This reads the structure once more:
tables, keys, and what is nested in arrays and inline tables. It is only asked about texts that `tomllib` has
accepted, so that it checks nothing itself; where it is at a loss it stops, and later keys have no line.
"""

import re
from typing import Final

Path = tuple[str | int, ...]

_SKIPPED: Final = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")
_BARE_VALUE: Final = re.compile(r"[^,\]}#\n]+")
_STRINGS: Final = (
    re.compile(r'"""(?:\\.|[^\\])*?"{3,5}', re.DOTALL),
    re.compile(r"'''.*?'{3,5}", re.DOTALL),
    re.compile(r'"(?:\\.|[^"\\\n])*"'),
    re.compile(r"'[^'\n]*'"),
)
_ESCAPE: Final = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|(.))")
_ESCAPED: Final = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r"}


def lines_of(text: str) -> dict[Path, int]:
    """Path (keys, and indices of arrays) -> line, counted from 1; a table's path leads to its header."""
    scanner = _Scanner(text)
    try:
        scanner.scan()
    except (_LostError, RecursionError):
        pass  # what was found so far is right
    return scanner.lines


def line_of(lines: dict[Path, int], path: Path) -> int | None:
    """The line of a path, or of the nearest table around it that is written."""
    for length in range(len(path), 0, -1):
        found = lines.get(path[:length])
        if found is not None:
            return found
    return None


class _LostError(Exception):
    """Not what TOML allows here."""


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._counted = (0, 1)  # (position, its line): lines are counted once, going forward
        self._arrays: dict[Path, int] = {}  # array of tables -> index of its last one
        self.lines: dict[Path, int] = {}

    def scan(self) -> None:
        table: Path = ()
        while self._skip():
            line = self._line()
            if self._take("[["):
                table = self._resolve(self._keys(), appended=True)
                self._expect("]]")
                self._note(table, line)
            elif self._take("["):
                table = self._resolve(self._keys(), appended=False)
                self._expect("]")
                self._note(table, line)
            else:
                self._pair(table)

    def _resolve(self, keys: Path, appended: bool) -> Path:
        """The path of a header: what is an array of tables on the way means its last table (TOML 1.0)."""
        path: Path = ()
        for number, key in enumerate(keys):
            path += (key,)
            if appended and number == len(keys) - 1:
                self._arrays[path] = self._arrays.get(path, -1) + 1
                self._note(path, self._line())
            if path in self._arrays:
                path += (self._arrays[path],)
        return path

    def _pair(self, table: Path) -> None:
        line = self._line()
        path = table + self._keys()
        for length in range(len(table) + 1, len(path) + 1):
            self._note(path[:length], line)
        self._expect("=")
        self._value(path)

    def _value(self, path: Path) -> None:
        self._skip_blanks()
        if self._take("["):
            self._items(path)
        elif self._take("{"):
            self._inline_table(path)
        elif self._string() is None:
            match = _BARE_VALUE.match(self._text, self._at)
            if match is None:
                raise _LostError
            self._at = match.end()

    def _items(self, path: Path) -> None:
        number = 0
        while self._skip() and not self._take("]"):
            here = (*path, number)
            self._note(here, self._line())
            self._value(here)
            self._skip()
            self._take(",")
            number += 1

    def _inline_table(self, path: Path) -> None:
        while self._skip() and not self._take("}"):
            self._pair(path)
            self._skip()
            self._take(",")

    def _keys(self) -> Path:
        keys: Path = ()
        while True:
            self._skip_blanks()
            word = self._string()
            if word is None:
                match = _BARE_KEY.match(self._text, self._at)
                if match is None:
                    raise _LostError
                word, self._at = match[0], match.end()
            keys += (word,)
            self._skip_blanks()
            if not self._take("."):
                return keys

    def _string(self) -> str | None:
        """The string that stands here, unquoted."""
        for pattern in _STRINGS:
            match = pattern.match(self._text, self._at)
            if match is not None:
                self._at = match.end()
                quotes = 3 if pattern in _STRINGS[:2] else 1
                inner = match[0][quotes:-quotes]
                return _ESCAPE.sub(_unescaped, inner) if match[0][0] == '"' else inner
        return None

    def _note(self, path: Path, line: int) -> None:
        self.lines.setdefault(path, line)

    def _skip(self) -> bool:
        """Past blanks, line ends and comments; False at the end of the text."""
        match = _SKIPPED.match(self._text, self._at)
        self._at = match.end() if match else self._at
        return self._at < len(self._text)

    def _skip_blanks(self) -> None:
        while self._text.startswith((" ", "\t"), self._at):
            self._at += 1

    def _take(self, mark: str) -> bool:
        if not self._text.startswith(mark, self._at):
            return False
        self._at += len(mark)
        return True

    def _expect(self, mark: str) -> None:
        self._skip_blanks()
        if not self._take(mark):
            raise _LostError

    def _line(self) -> int:
        start, line = self._counted
        self._counted = self._at, line + self._text.count("\n", start, self._at)
        return self._counted[1]


def _unescaped(match: re.Match[str]) -> str:
    code = match[1] or match[2]
    return chr(int(code, 16)) if code else _ESCAPED.get(match[3], match[3])
