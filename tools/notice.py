"""Write NOTICE: `python tools/notice.py CLIPS/manifest.csv`. The clips are grouped by licence, then by author."""

from __future__ import annotations

import csv
import sys
import textwrap
from collections import defaultdict
from pathlib import Path

TARGET = Path(__file__).parents[1] / "NOTICE"
URLS = {
    "CC0-1.0": "https://creativecommons.org/publicdomain/zero/1.0/",
    "CC-BY-3.0": "https://creativecommons.org/licenses/by/3.0/",
    "CC-BY-4.0": "https://creativecommons.org/licenses/by/4.0/",
    "CC-BY": "https://creativecommons.org/licenses/ (version not stated)",
    "Apache-2.0": "https://www.apache.org/licenses/LICENSE-2.0",
    "MIT": "https://opensource.org/license/mit",
    "BSD-2-Clause": "https://opensource.org/license/bsd-2-clause",
}
KINDS = {"real": "video", "photo-moves": "camera move over a photograph", "sounds": "sound"}
RULE = "-" * 80

HEAD = f"""Stale Diffusion
Copyright the Stale Diffusion contributors

Licensed under the Apache License, Version 2.0 (see LICENSE). Dreamscapes movies, which the program renders, are
CC0-1.0. What the package holds that is made from the work of others, and whose work it is:

{RULE}
1. The plot encoder: src/stale_diffusion/weights/plot.safetensors and tokenizer.json

A static table distilled (tools/distil_plot.py) from sentence-transformers/all-MiniLM-L6-v2, Apache License 2.0,
https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2; changed: one vector a word piece, reduced to 128
dimensions, 8 bits. The distillation is model2vec's, Copyright (c) 2024 Thomas van Dongen, MIT License,
https://github.com/MinishLab/model2vec

{RULE}
2. The lexicons: src/stale_diffusion/clips/*.csv

Rows whose source is scene_odour_lexicon or food_basic_taste are from tables made by hand for this project, CC0-1.0:
judgements, not measurements; so are the rows marked own or adapted, emoji.csv, formats/notes.csv and phrases.json.

{RULE}
3. Clips: src/stale_diffusion/weights/codecs.safetensors is fitted on these, and default.safetensors trained on them

No clip is in the package; one, CC0, is in tests/data. Clips under share-alike licences (CC BY-SA) were at hand and left
out of both; about one recording in five is held out of the codecs' fit. All clips were trimmed, scaled or cropped, and
encoded again; the camera moves were rendered from photographs.
"""

TAIL = f"""{RULE}
4. Haptic clips, for measuring touch; none is in the package

NiceVibrations (Lofelt), MIT License, Copyright (c) Meta Platforms, Inc. and affiliates,
https://github.com/Lofelt/NiceVibrations

{RULE}
5. Tables that stand beside the project and are not in the package

Keller, Hempstead, Gomez, Gilbert, Vosshall (2012), "An olfactory demography of a diverse metropolitan population",
BMC Neuroscience 13:122, doi:10.1186/1471-2202-13-122, CC BY 2.0; processed by pyrfume/pyrfume-data, MIT License.
FlavorGraph (lamypark/FlavorGraph), Apache License 2.0.

{RULE}
6. The paper

Joao F. Henriques, Dylan Campbell, Tengda Han, Samir: "Stale Diffusion: Hyper-realistic 5D Movie Generation Using
Old-school Methods", International Centre for Sleep Studies, Nappington, UK. The idea is theirs. The bits are ours.

{RULE}
7. The typefaces of the player's page: src/stale_diffusion/player/page/*.woff2

Inter, Copyright 2016 The Inter Project Authors, https://github.com/rsms/inter
EB Garamond, Copyright 2017 The EB Garamond Project Authors, https://github.com/octaviopardo/EBGaramond12
Both under the SIL Open Font License 1.1 (player/page/OFL.txt); Latin subsets as packed by Fontsource.
"""


def credits(rows: list[dict[str, str]]) -> str:
    """The clips that may be used, as text: licence, then author, kinds and counts, addresses."""
    groups: dict[str, dict[str, list[dict[str, str]]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if "-SA" not in row["licence"]:
            groups[row["licence"]][row["author"]].append(row)
    parts = []
    for licence, authors in sorted(groups.items()):
        url = URLS.get(licence.split(" (")[0], "")
        parts.append(f"{licence}{f', {url}' if url else ''}")
        for author, clips in sorted(authors.items(), key=lambda entry: entry[0].lower()):
            kinds = [row["file"].split("/")[0] for row in clips]
            counts = ", ".join(f"{kinds.count(k)} {name}" for k, name in KINDS.items() if k in kinds)
            places = " ".join(sorted({row["attribution_url"] for row in clips}))
            parts.append(_wrapped(f"{author} ({counts}): {places}"))
        parts.append("")
    return "\n".join(parts)


def _wrapped(text: str) -> str:
    return textwrap.fill(
        text, 120, initial_indent="  ", subsequent_indent="    ", break_long_words=False, break_on_hyphens=False
    )


def main() -> None:
    with Path(sys.argv[1]).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    TARGET.write_text("\n".join([HEAD, credits(rows), TAIL]), "utf-8")


if __name__ == "__main__":
    main()
