"""The results page in the admin: what was computed last, section by section, its plots and its files."""

import json
from typing import Any

from django.http import Http404, HttpResponse

from studies import figures, latest, results, wording
from studies.models import Study
from studies.tables import Blind

KINDS = {"svg": "image/svg+xml", "csv": "text/csv; charset=utf-8"}


def context(study: Study) -> dict[str, Any]:
    """What the template shows; nothing of what people prefer while that is hidden."""
    shown: dict[str, Any] = {
        "counts": results.counts(study),
        "hidden": study.hides_preferences,
        "protocol": study.protocols.first(),
    }
    if study.hides_preferences:
        return shown
    last = latest.of(study)
    shown |= {"last": last, "found": last.found, "figures": last.figures}
    if last.found is None:
        return shown
    found = last.found
    analysis = found["analysis"]
    return shown | {
        "methods": last.methods.split("\n\n") if last.methods else [],
        "reason": found.get("reason", ""),
        "pilot": found["mode"] != "live",
        "versions": _versions(found),
        "exclusions": wording.exclusions(found["counts"]),
        "dropout": wording.dropout(found["dropout"]),
        "sections": [] if analysis is None else _sections(found),
        "contrasts": [] if analysis is None else analysis["contrasts"] or [],
        "no_contrasts": "" if analysis is None or analysis["contrasts"] is not None else analysis["reason"],
        "equality": {} if analysis is None else analysis["equality"],
        "trends": [] if analysis is None else [wording.trend(line) for line in analysis["trend"]],
        "labels": figures.labels(found["places"]),
    }


def _versions(found: dict[str, Any]) -> str:
    """Said where votes of several protocol versions stand together; else empty."""
    said = wording.versions(found["versions"], found["reworded"])
    return said and f"{said} What the later ones changed stands under “Methods” below."


def _sections(found: dict[str, Any]) -> list[dict[str, Any]]:
    """A section for each block of the analysis that has votes, in the study's order."""
    analysis, labels = found["analysis"], figures.labels(found["places"])
    sections = []
    for number, place in enumerate(found["places"], 1):
        block = analysis["blocks"].get(place["name"])
        sections.append(
            {"place": place, "title": labels[place["name"]], "block": block}
            | ({} if block is None else _section(found, place["name"], block, number))
        )
    return sections


def _section(found: dict[str, Any], name: str, block: dict[str, Any], number: int) -> dict[str, Any]:
    analysis = found["analysis"]
    people, excluded = analysis["people"] or {}, analysis["excluded_participants"]
    return {
        "treatments": [
            {
                "name": treatment,
                "found": p,
                "sentence": wording.verdict(p, treatment, block["baseline"], found["margin"]),
                "caption": wording.preference(p, block, treatment) if p["share"] is not None else "",
                "missing": wording.missing(p),
                "other": p["other_estimand"] and wording.ESTIMANDS[p["other_estimand"]["estimand"]],
                "estimand": wording.ESTIMANDS[p["estimand"]],
                "beside": [(wording.SETS[key], other) for key, other in p["beside"].items()],
            }
            for treatment, p in block["preference"].items()
        ],
        "side_bias": wording.side_bias(block["side_bias"]),
        "agreement": wording.agreement(block),
        "flagged": [
            (
                person,
                wording.flagged(people.get(person, {}), excluded.get(person, [])),
            )
            for person in block["flagged_participants"]
        ],
        "several": len(block["bradley_terry"]["names"]) > 2,
        "ranking": _ranking(block),
        "figures": [f"ranking-{number}", f"jod-{number}"],
        "metrics": [
            entry | {"difference": wording.difference(entry["treatment"], block["baseline"])}
            for entry in found["metrics"]
            if entry["block"] == name
        ],
    }


def _ranking(block: dict[str, Any]) -> list[dict[str, Any]]:
    """One row a condition, the best first; empty where there is no ranking."""
    ability, scale = block["bradley_terry"], block["jod"]
    if ability["ability"] is None:
        return []

    def at(values: list[Any] | None, i: int) -> Any:
        return None if values is None else values[i]

    rows = [
        {
            "name": name,
            "ability": ability["ability"][i],
            "se_two_way": at(ability["se_two_way"], i),
            "rank_low": at(ability["rank_low"], i),
            "rank_high": at(ability["rank_high"], i),
            "jod": at(scale["value"], i),
            "low": at(scale["low"], i),
            "high": at(scale["high"], i),
        }
        for i, name in enumerate(ability["names"])
    ]
    return sorted(rows, key=lambda row: -row["ability"])


def figure(study: Study, name: str, kind: str) -> HttpResponse:
    """A plot as SVG, or its numbers as CSV."""
    if kind not in KINDS:
        raise Http404
    try:
        found = latest.of(study).figure(name)
    except Blind as error:
        return HttpResponse(f"{error}\n", status=403, content_type="text/plain; charset=utf-8")
    if found is None:
        raise Http404
    return HttpResponse(
        found.svg if kind == "svg" else found.csv,
        content_type=KINDS[kind],
        headers={"Content-Disposition": f'inline; filename="{study.slug}-{name}.{kind}"'},
    )


def as_json(study: Study) -> HttpResponse:
    """Everything that the page shows as one JSON object (docs/statistics.md)."""
    try:
        last = latest.of(study)
    except Blind as error:
        return HttpResponse(f"{error}\n", status=403, content_type="text/plain; charset=utf-8")
    return HttpResponse(
        json.dumps(last.found, indent=1, ensure_ascii=False, allow_nan=False),
        content_type="application/json",
        headers={"Content-Disposition": f'attachment; filename="{study.slug}-results.json"'},
    )
