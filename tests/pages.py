"""The project's Markdown pages, taken apart for the tests of what they say."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
PAGES = tuple(
    path.relative_to(REPOSITORY).as_posix()
    for path in (
        REPOSITORY / "README.md",
        REPOSITORY / "CONTRIBUTING.md",
        *sorted((REPOSITORY / "docs").glob("*.md")),
    )
)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page.

    Attributes:
        page: The page's path below the checkout.
        line: Where the block begins.
        language: What stands behind the fence.
        text: What is in it.
        mark: The HTML comment in front of it; '' where there is none.
    """

    page: str
    line: int
    language: str
    text: str
    mark: str

    @property
    def commands(self) -> list[str]:
        """Its lines, continued ones joined."""
        return self.text.replace("\\\n", " ").splitlines()


def read_page(page: str) -> str:
    """Returns a page's text."""
    return (REPOSITORY / page).read_text(encoding="utf-8")


def blocks_of(page: str) -> list[Block]:
    """Returns a page's fenced blocks."""
    text = read_page(page)
    found = re.finditer(
        r"^(?:<!-- (?P<mark>[^>]*) -->\n)?```(?P<language>\w*)\n(?P<text>.*?)^```$",
        text,
        flags=re.DOTALL | re.MULTILINE,
    )
    return [
        Block(
            page=page,
            line=text.count("\n", 0, match.start()) + 1,
            language=match["language"],
            text=match["text"],
            mark=match["mark"] or "",
        )
        for match in found
    ]


def prose_of(page: str) -> str:
    """Returns a page without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", read_page(page), flags=re.DOTALL | re.MULTILINE)


def inline_code_of(page: str) -> list[str]:
    """Returns what stands between backticks in a page's prose."""
    return re.findall(r"`([^`\n]+)`", prose_of(page))


def tables_of(page: str) -> list[list[list[str]]]:
    """Returns a page's tables: rows of cells, the header first, without the line below it."""
    found = re.findall(r"(?:^\|.*\|$\n?)+", prose_of(page), flags=re.MULTILINE)
    tables = []
    for table in found:
        rows = [[c.strip() for c in row.strip("|").split("|")] for row in table.splitlines()]
        tables.append([rows[0], *rows[2:]])
    return tables


def anchors_of(page: str) -> set[str]:
    """Returns the names by which a page's headings can be linked to."""
    headings = re.findall(r"^#+ (.+)$", prose_of(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def words_of(command: str) -> list[str]:
    """Returns the words of a command; a comment is left out."""
    return shlex.split(command.rstrip('"'), comments=True)
