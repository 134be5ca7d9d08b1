"""Whether all files of a results folder are of one study: the same task, profile, rules, settings and code."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from dkmodels.study.difference import differences
from dkmodels.study.errors import DifferentStudyError, UsageError
from dkmodels.study.files import NEWER, WRITTEN
from dkmodels.study.records import FORMAT
from dkmodels.study.store import Store, finite

__all__ = ["conflicts", "join_studies", "kept_files", "require_one_study"]

SHOWN = 3
CHOICES = "choose another --out, or run with --apart"


def join_studies(store: Store, planned: Mapping[str, Any], edited: Sequence[str] = ()) -> dict[str, Any]:
    """The manifest of a planned study, with the arms and seeds besides of the one that the folder holds.

    Args:
        store: the folder.
        planned: the manifest of the planned study.
        edited: which files that the folder's cells read were edited since, in words.

    Raises:
        DifferentStudyError: the folder holds cells of other rules, settings or code.
        UsageError: it holds a study of another task, profile or format, or an arm of that name with other rules.
    """
    new: dict[str, Any] = json.loads(json.dumps(finite(planned)))
    old = store.held_manifest()
    if old is None:
        # What a lost study.json had planned is seen from the cells.
        new["seeds"] = sorted({*new["seeds"], *(cell["seed"] for cell in store.cells())})
        if edited:
            raise DifferentStudyError(f"{store.folder} holds cells of other files; {'; '.join(edited)}: {CHOICES}")
    else:
        _require_same(store, old, new, edited)
        arms = {arm["name"]: arm for arm in old["arms"]}
        for arm in new["arms"]:
            if arms.setdefault(arm["name"], arm) != arm:
                raise UsageError(f"{store.folder} holds a study whose arm {arm['name']!r} has other rules")
        new["arms"] = list(arms.values())
        new["contrasts"] = [*old["contrasts"], *(c for c in new["contrasts"] if c not in old["contrasts"])]
        new["seeds"] = sorted({*old["seeds"], *new["seeds"]})
        new["costs"] = sorted({*old.get("costs", []), *new.get("costs", [])})
        new["created"] = old.get("created", new.get("created"))
        new["data"] = {**new["data"], **old["data"]}
        new["origin"]["arms"] = {**old["origin"]["arms"], **new["origin"]["arms"]}
    known = {arm["name"] for arm in new["arms"]}
    new["contrasts"] = [c for c in new["contrasts"] if {c["arm"], c["baseline"]} <= known]
    require_one_study(store, new)
    return new


def _require_same(store: Store, old: Mapping[str, Any], new: Mapping[str, Any], edited: Sequence[str]) -> None:
    if old.get("format") != new["format"]:
        raise UsageError(
            f"{store.folder} holds a study of format {old.get('format')}, which does not record the code and the "
            f"settings of its cells, expected format {new['format']}: choose another --out"
        )
    for key in ("task", "profile"):
        if new[key] != old[key]:
            raise UsageError(
                f"{store.folder} holds a study of {key} {old[key]!r}, expected {new[key]!r}: choose another --out"
            )
    found = differences(old["origin"], new["origin"])
    if new["metrics"] != old["metrics"]:
        found.append("metrics or their smallest useful gains")
    found += [f"data of seed {seed}" for seed, used in old["data"].items() if new["data"].get(seed, used) != used]
    found += edited
    if found:
        before, after = (str(origin.get("commit"))[:10] for origin in (old["origin"], new["origin"]))
        at = "" if before == after else f" (commit {before} became {after})"
        raise DifferentStudyError(
            f"{store.folder} holds a study of other rules, settings or code; {'; '.join(found)}{at}: {CHOICES}"
        )


def require_one_study(store: Store, manifest: Mapping[str, Any]) -> None:
    """Refuse a folder whose cells or costs are not of one study.

    Raises:
        DifferentStudyError: it says what differs.
    """
    found = conflicts(store, manifest)
    if found:
        more = f" (and {len(found) - SHOWN} more)" if len(found) > SHOWN else ""
        raise DifferentStudyError(
            f"{store.folder} needs cells of one study, made with the same rules, settings and code; "
            f"{'; '.join(found[:SHOWN])}{more}: choose another --out, run with --apart, or move these files away"
        )


def _files(store: Store) -> dict[str, dict[str, list[str]]]:
    """By file that cells read and none wrote, the cells by the digest of what they read."""
    found: dict[str, dict[str, list[str]]] = {}
    for cell in store.cells():
        for name, mark in (cell.get("files") or {}).items():
            if mark != NEWER:
                found.setdefault(name, {}).setdefault(mark, []).append(f"{cell['arm']}, seed {cell['seed']}")
    return {name: marks for name, marks in found.items() if WRITTEN not in marks}


def kept_files(store: Store) -> dict[str, str]:
    """The files that the cells of a folder read, with the digests that they agree on."""
    return {name: mark for name, (mark, *others) in _files(store).items() if not others}


def conflicts(store: Store, manifest: Mapping[str, Any]) -> list[str]:
    """What of a folder is not of the study of a manifest, one line each; the cells of one cause share one."""
    arms = {arm["name"]: arm for arm in manifest["arms"]}
    causes: dict[str, list[str]] = {}
    data: dict[int, dict[str, list[str]]] = {}
    for cell in store.cells():
        place = f"{cell['arm']}, seed {cell['seed']}"
        for cause in _causes(cell, manifest, arms):
            causes.setdefault(cause, []).append(place)
        used = cell.get("data")
        if used is not None:
            data.setdefault(cell["seed"], {}).setdefault(used, []).append(place)
    for cost in store.costs():
        found = _causes({"arm": None, "rules": {}, **cost}, manifest, arms)
        unknown = sorted({row["arm"] for row in cost["rows"]} - arms.keys())
        found += [f"arms that the study does not have, {unknown}, expected some of {list(arms)}"] if unknown else []
        for cause in found:
            causes.setdefault(cause, []).append(f"costs of seed {cost['seed']}")
    planned = manifest.get("data") or {}
    for seed, digests in data.items():
        expected = planned.get(str(seed))
        others = [place for used, places in digests.items() if expected not in (None, used) for place in places]
        if others:
            causes.setdefault(f"data of seed {seed} became other data", []).extend(others)
        elif len(digests) > 1:
            causes.setdefault(f"data of seed {seed} differ between cells", []).extend(
                place for places in digests.values() for place in places
            )
    for name, marks in _files(store).items():
        if len(marks) > 1:
            places = [place for places in marks.values() for place in places]
            causes.setdefault(f"file {name} differs between cells", []).extend(places)
    return [f"{_places(places)}: {cause}" for cause, places in causes.items()]


def _causes(record: Mapping[str, Any], manifest: Mapping[str, Any], arms: Mapping[str, Any]) -> list[str]:
    """How a cell, or the costs of a seed, differ from the study."""
    if record.get("format") != manifest.get("format"):
        return [f"format {record.get('format')} in a study of format {manifest.get('format')}"]
    found = [
        f"{key} {record[key]!r} in a study of {key} {manifest[key]!r}"
        for key in ("task", "profile")
        if key in record and record[key] != manifest[key]
    ]
    if found:
        return found
    if record["seed"] not in manifest["seeds"]:
        found.append(f"a seed that the study does not have, expected one of {manifest['seeds']}")
    arm = record["arm"]
    if arm is not None and arm not in arms:
        found.append(f"an arm that the study does not have, expected one of {list(arms)}")
    elif arm is not None:
        rules = [name for name in manifest.get("rules", {}) if name in arms[arm]["rules"]] or arms[arm]["rules"]
        if sorted(record["rules"]) != sorted(rules) or record.get("setup", "") != arms[arm].get("setup", ""):
            found.append(f"other rules or another setup than arm {arm!r} has")
    if manifest["format"] == FORMAT:
        found += differences(record.get("origin") or {}, manifest["origin"])
    return found


def _places(places: Sequence[str]) -> str:
    return places[0] if len(places) == 1 else f"{len(places)} cells, such as {places[0]}"
