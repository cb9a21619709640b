"""Verifying: what a file says about where it comes from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

ALTERED, NOTHING = 3, 4  # exit codes


def verify(
    file: Annotated[Path, typer.Argument(help="A movie, also one that was cut, scaled, cropped or encoded anew.")],
    key: Annotated[
        Path | None, typer.Option(help="The key whose mark and signature are looked for; else your own.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, on stdout.")] = False,
) -> None:
    """Look for the mark and check the signature.

    Exit code 0: a mark of this key or a signature that holds; 3: altered since it was signed; 4: neither of the two.
    """
    from stale_diffusion.trust import keys
    from stale_diffusion.trust.verify import verify as look

    ours = keys.load(key) if key is not None else keys.load(keys.own_path()) if keys.own_path().exists() else None
    report = look(file, ours)
    found = as_record(report, isinstance(ours, keys.Key))
    if as_json:
        typer.echo(json.dumps({"file": str(file)} | found, indent=1, ensure_ascii=False, allow_nan=False))
    else:
        for line in lines(found):
            typer.echo(line)
    if report.altered:
        raise typer.Exit(ALTERED)
    if not report.found:
        raise typer.Exit(NOTHING)


def as_record(report: Any, keyed: bool) -> dict[str, Any]:
    """The report as JSON has it; `keyed`: whether there was a private key to look for a mark with."""
    marks: dict[str, dict[str, Any]] = {}
    for sense, mark in report.mark.items():
        if mark is None:
            marks[sense] = {"found": None, "why": "nothing to look at" if keyed else "no private key"}
            continue
        marks[sense] = {"found": mark.found, "log10_p": round(mark.log10_p, 2)}
        if mark.found:
            marks[sense] |= {
                "payload": mark.payload.hex() if mark.payload else None,
                "ranges": [list(span) for span in mark.ranges],
            }
        if mark.found and sense == "sight":
            marks[sense] |= {"speed": round(mark.speed, 4), "scale": round(mark.scale, 4)}
    signature = report.signature
    return {
        "watermark": marks,
        "recipe_matches": report.recipe,
        "signature": {"verdict": signature.verdict, "issuer": signature.issuer, "altered": list(signature.altered)},
        "content_credentials": report.credentials,
    }


def lines(found: dict[str, Any]) -> list[str]:
    """The report for a person."""
    out = []
    for sense, mark in found["watermark"].items():
        if mark["found"] is None:
            out.append(f"{sense:<10} not looked at: {mark['why']}")
        elif not mark["found"]:
            out.append(f"{sense:<10} no mark of this key (p = {_chance(mark['log10_p'])})")
        else:
            said = f"says {mark['payload']}" if mark["payload"] else "too weak to be read"
            where = ", ".join(f"{start:g}-{end:g} s" for start, end in mark["ranges"]) or "too faint to say where"
            out.append(f"{sense:<10} marked, {said} (p = {_chance(mark['log10_p'])}): {where}")
            if (mark.get("speed", 1), mark.get("scale", 1)) != (1, 1):
                out.append(f"{'':<10} at {mark['speed']:g} times the speed, {mark['scale']:g} of the picture's side")
    if found["recipe_matches"] is not None:
        out.append(f"{'recipe':<10} {'is' if found['recipe_matches'] else 'is not'} the one that the mark names")
    signature = found["signature"]
    by = f" ({signature['issuer']})" if signature["issuer"] else ""
    changed = f": {', '.join(signature['altered'])}" if signature["altered"] else ""
    out.append(f"{'signature':<10} {signature['verdict']}{by}{changed}")
    if found["content_credentials"]:
        out.append(f"{'C2PA':<10} {found['content_credentials']}")
    return out


def _chance(log10_p: float) -> str:
    return f"{10**log10_p:.2g}" if log10_p > -4 else f"1e{log10_p:.0f}"
