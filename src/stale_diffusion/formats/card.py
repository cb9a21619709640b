"""The tasting card: what a person prepares, how much of it, and when to give it; A4, PNG or PDF, drawn with Pillow."""

from __future__ import annotations

import io
import textwrap
from collections import Counter
from collections.abc import Iterator

from PIL import Image, ImageDraw, ImageFont

from stale_diffusion.formats.sheet import FAINT, GREY, INK, PAPER, RULE
from stale_diffusion.formats.sheet import TASTES as COLOURS
from stale_diffusion.formats.taste import CUPS, STRENGTHS, Serving, servings
from stale_diffusion.movie import Movie
from stale_diffusion.senses.taste import TASTES

WIDTH, HEIGHT = 1240, 1754  # A4 at 150 to the inch; drawn and printed at 300
SCALE = 2
MARGIN = 90
SIP = 10  # millilitres
LEAST = 30  # millilitres in a cup
ROW, COLUMNS = 42, 3
CUP_ROW = 66
NOTES = (
    "A sip is 10 ml, two teaspoons: swallow it or spit it out (salt water: spit). Between two a mouthful of water.",
    "Honey: not for children under one year. Miso has soy. Coffee has caffeine. Leave out what somebody must not have.",
)
Cup = tuple[str, str]  # taste, strength


def to_png(movie: Movie) -> bytes:
    """The first page, which has all that is to be prepared, as PNG."""
    out = io.BytesIO()
    next(iter(_pages(movie))).save(out, "PNG", dpi=(300, 300), optimize=True)
    return out.getvalue()


def to_pdf(movie: Movie) -> bytes:
    """All pages as PDF."""
    first, *others = _pages(movie)
    out = io.BytesIO()
    # the date would make two cards of one movie differ
    about = {"title": f"Tasting card: {movie.title}", "creationDate": None, "modDate": None}
    first.save(out, "PDF", resolution=300, quality=90, save_all=True, append_images=others, **about)
    return out.getvalue()


def _pages(movie: Movie) -> Iterator[Image.Image]:
    planned = servings(movie)
    counts = Counter((s.taste, s.strength) for s in planned)
    cups = sorted(counts, key=lambda cup: (TASTES.index(cup[0]), STRENGTHS.index(cup[1])))
    letters = {cup: chr(ord("A") + i) for i, cup in enumerate(cups)}
    page = _Page()
    page.head(movie, len(planned))
    page.cups({cup: counts[cup] for cup in cups}, letters)
    page.ribbon(planned, movie.seconds)
    number, left = 1, page.servings(planned, letters)
    yield page.done(number, more=bool(left))
    while left:
        page, number = _Page(), number + 1
        page.heading("Serve, continued")
        left = page.servings(left, letters)
        yield page.done(number, more=bool(left))


class _Page:
    """A page being drawn from the top down."""

    def __init__(self) -> None:
        self.image = Image.new("RGB", (WIDTH * SCALE, HEIGHT * SCALE), PAPER)
        self.draw = ImageDraw.Draw(self.image)
        self.y = float(MARGIN)

    def text(self, x: float, y: float, text: str, size: float, colour: str = INK, anchor: str = "la") -> None:
        font = ImageFont.load_default(size * SCALE)
        self.draw.text((x * SCALE, y * SCALE), text, fill=colour, font=font, anchor=anchor)

    def rule(self) -> None:
        self.draw.rectangle(
            (MARGIN * SCALE, self.y * SCALE, (WIDTH - MARGIN) * SCALE, self.y * SCALE + SCALE), fill=RULE
        )

    def heading(self, text: str) -> None:
        self.text(MARGIN, self.y, text, 30)
        self.y += 54
        self.rule()
        self.y += 16

    def disc(self, x: float, y: float, letter: str, taste: str) -> None:
        """The letter of a cup in the colour of its taste; the letter is what counts, for eyes and for grey printers."""
        box = [(x - 17) * SCALE, (y - 17) * SCALE, (x + 17) * SCALE, (y + 17) * SCALE]
        self.draw.ellipse(box, fill=COLOURS[taste])
        self.text(x, y, letter, 20, "#ffffff" if taste in ("bitter", "umami", "salty") else INK, "mm")

    def head(self, movie: Movie, count: int) -> None:
        self.text(MARGIN, self.y, "Tasting card", 22, GREY)
        self.y += 40
        for line in textwrap.wrap(movie.title, 56, max_lines=2, placeholder=" …"):
            self.text(MARGIN, self.y, line, 36)
            self.y += 50
        sips = "nothing to taste" if not count else "1 sip" if count == 1 else f"{count} sips"
        self.text(MARGIN, self.y + 4, f"{_clock(movie.seconds)} long, {sips}, taste {movie.taste.origin}", 20, GREY)
        self.y += 76

    def cups(self, counts: dict[Cup, int], letters: dict[Cup, str]) -> None:
        self.heading("Prepare")
        if not counts:
            self.text(MARGIN, self.y, "Nothing: a glass of water, if you like.", 22)
            self.y += CUP_ROW
        for (taste, strength), count in counts.items():
            middle = self.y + CUP_ROW / 2 - 6
            self.disc(MARGIN + 20, middle, letters[taste, strength], taste)
            self.text(MARGIN + 62, middle, f"{taste}, {strength}", 24, INK, "lm")
            self.text(MARGIN + 270, middle, CUPS[taste][strength], 21, INK, "lm")
            self.text(WIDTH - MARGIN, middle, _amount(CUPS[taste][strength], count), 21, INK, "rm")
            self.y += CUP_ROW
        self.y += 22

    def ribbon(self, planned: list[Serving], seconds: float) -> None:
        """When there is something to taste, along the movie."""
        if not planned:
            return
        self.heading("Serve")
        width = WIDTH - 2 * MARGIN
        top, bottom = (self.y + 6) * SCALE, (self.y + 26) * SCALE
        self.draw.rectangle((MARGIN * SCALE, top, (WIDTH - MARGIN) * SCALE, bottom), fill=FAINT)
        for serving in planned:
            x = (MARGIN + serving.start / max(seconds, 1e-9) * width) * SCALE
            self.draw.rectangle((x, top, x + 5 * SCALE, bottom), fill=COLOURS[serving.taste])
        self.text(MARGIN, self.y + 34, "0:00", 16, GREY)
        self.text(WIDTH - MARGIN, self.y + 34, _clock(seconds), 16, GREY, "ra")
        self.y += 76

    def servings(self, planned: list[Serving], letters: dict[Cup, str]) -> list[Serving]:
        """Rows in columns, as many as there is room for; what is left."""
        rows = int((HEIGHT - MARGIN - 110 - self.y) / ROW)
        shown = planned[: rows * COLUMNS]
        rows = min(rows, max(-(-len(shown) // COLUMNS), min(8, len(shown))))
        width = (WIDTH - 2 * MARGIN) / COLUMNS
        for k, serving in enumerate(shown):
            x, y = MARGIN + k // rows * width, self.y + k % rows * ROW + ROW / 2
            self.text(x + 80, y, _clock(serving.start), 22, INK, "rm")
            self.disc(x + 116, y, letters[serving.taste, serving.strength], serving.taste)
            self.text(x + 146, y, f"{serving.taste}, {serving.strength}", 20, GREY, "lm")
        return planned[len(shown) :]

    def done(self, number: int, more: bool) -> Image.Image:
        """The page with its foot."""
        for k, note in enumerate(NOTES):
            self.text(MARGIN, HEIGHT - MARGIN - 44 + 26 * k, note, 17, GREY)
        after = f"page {number}, more in the PDF" if more and number == 1 else f"page {number}"
        if more or number > 1:
            self.text(WIDTH - MARGIN, HEIGHT - MARGIN - 80, after, 17, GREY, "ra")
        return self.image


def _amount(recipe: str, count: int) -> str:
    """How much to prepare."""
    sips = "1 sip" if count == 1 else f"{count} sips"
    if "as it is" in recipe:
        return f"{count} x a taste"
    return f"{sips}, {max(LEAST, SIP * count)} ml"


def _clock(seconds: float) -> str:
    whole = int(seconds)
    if whole >= 3600:
        return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"
    return f"{whole // 60}:{whole % 60:02}"
