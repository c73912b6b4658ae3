"""The card of a network that comes with the package, for machines and for readers."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from resunet_lc_jax.measures.comparison_tables import markdown
from resunet_lc_jax.measures.metrics import CLASS_METRICS, MACRO_METRICS
from resunet_lc_jax.measures.report import cell
from tfds_physionet.diagnoses import DIAGNOSES

_MEASURED = (*CLASS_METRICS, "sensitivity", "specificity")
_COMMON = "Macro over classes with 5 positives and more"
_MOST_HASHES = 3  # that Markdown shows; card.json has all
_ATTRIBUTION = (
    "PhysioNet/Computing in Cardiology Challenge 2021, version 1.0.3, CC BY 4.0: "
    "https://physionet.org/content/challenge-2021/1.0.3/; its signals were resampled, and networks "
    "trained on them",
    "Reyna et al., 'Will Two Do? Varying Dimensions in Electrocardiography: The PhysioNet/"
    "Computing in Cardiology Challenge 2021', CinC 2021",
    "Goldberger et al., 'PhysioBank, PhysioToolkit, and PhysioNet', Circulation 2000",
)
_ALWAYS = (
    "For research. It is no medical device, no use in care was tested, and no decision on a "
    "patient may rest on it.",
    "It knows 26 diagnoses. That it finds none does not mean that a heart is healthy.",
)


def build_shipped_card(
    about: Mapping[str, Any],
    *,
    reports: Mapping[str, Mapping[str, Any]],
    measured: Mapping[str, str],
    thresholds: np.ndarray,
    temperatures: np.ndarray | None,
    untrusted: Mapping[str, str],
    seen: Sequence[str],
) -> dict[str, Any]:
    """Gathers a card.

    Args:
      about: Of the network: name, weights, input, training and so on; the card begins with it.
      reports: Of `report.build_report`: 'real', and 'simulated' where there is one.
      measured: How each was made, in a sentence.
      thresholds: [26].
      temperatures: [26]; None if it was not calibrated.
      untrusted: Why a class is not to be trusted, by abbreviation.
      seen: Hashes of the real records that had a part in making it.

    Returns:
      about's entries; classes (in the network's order: codes, name, threshold, temperature, why it
      is untrusted or None, and its figures in each report), performance (by report), untrusted,
      seen (records, hashes), limits, licence and attribution.
    """
    classes = {}
    for k, diagnosis in enumerate(DIAGNOSES):
        name = diagnosis.abbreviation
        classes[name] = {
            "codes": list(diagnosis.codes),
            "name": diagnosis.name,
            "threshold": float(thresholds[k]),
            "temperature": None if temperatures is None else float(temperatures[k]),
            "untrusted": untrusted.get(name),
            **{of: _of_class(report["classes"][name]) for of, report in reports.items()},
        }
    licence = "MIT, as the code"
    if seen:
        licence += "; the real records that trained it are CC BY 4.0 and want the attribution"
    return {
        **about,
        "classes": classes,
        "performance": {
            of: {"measured": measured[of], **_performance(report)} for of, report in reports.items()
        },
        "untrusted": dict(untrusted),
        "seen": {"records": len(seen), "hashes": list(seen)},
        "limits": _limits(reports, untrusted, len(seen)),
        "licence": licence,
        "attribution": list(_ATTRIBUTION) if seen else [],
    }


def _of_class(entry: Mapping[str, Any]) -> dict[str, Any]:
    intervals = {key: entry["intervals"][key] for key in _MEASURED}
    values = {key: entry[key] for key in _MEASURED}
    return {"positives": entry["positives"], **values, "intervals": intervals}


def _performance(report: Mapping[str, Any]) -> dict[str, Any]:
    common = [of for of in report["classes"].values() if of["positives"] >= 5]
    means = {key: float(np.mean([of[key] for of in common])) for key in CLASS_METRICS}
    return {
        "records": report["records"],
        "patients": report["patients"],
        "databases": {name: of["records"] for name, of in report["databases"].items()},
        "common_classes": {"classes": len(common), **means},
        **{key: report[key] for key in MACRO_METRICS},
        "intervals": {key: report["intervals"][key] for key in MACRO_METRICS},
    }


def _limits(
    reports: Mapping[str, Mapping[str, Any]], untrusted: Mapping[str, str], seen: int
) -> list[str]:
    real = reports["real"]
    limits = [*_ALWAYS]
    limits.append(
        f"Trained on simulated hearts, then on {seen:,} real records: few, and from the databases "
        "that measured it."
        if seen
        else "Trained on simulated hearts alone: no record of a patient had a part in it."
    )
    limits.append(
        f"Measured on {real['records']:,} real records; its recipe was chosen by the same records, "
        "so expect less on others."
    )
    if (known := real["annotated_only"]["cells"]) < 1:
        limits.append(
            f"Of {100 * (1 - known):.0f} % of their labels the source never gives the class: they "
            "count as negative."
        )
    limits += [f"Not to be trusted: {name} ({why})." for name, why in untrusted.items()]
    return limits + list(real.get("notes", ()))


def format_shipped_card(card: Mapping[str, Any]) -> str:
    """Lays out a card as Markdown."""
    given, training = card["input"], card["training"]
    parts = [
        f"# {card['name']}: {card['network']}, {card['parameters']:,} parameters",
        "A network of the package resunet_lc_jax. " + " ".join(card["limits"][:3]),
        "## What goes in, what comes out",
        _list(
            {
                "leads, in this order": " ".join(given["leads"]),
                "signal": f"{given['sampling_rate_hz']:g} Hz, {given['filter']}, {given['length']} "
                f"samples a window; {given['units']}",
                "windows": given["windows"],
                "out": f"a score of 0 to 1 for each of {len(card['classes'])} classes, in the "
                "order below; a class is decided for where its score is at least its threshold",
                "thresholds": card["decisions"]["thresholds"],
                "calibration": card["decisions"]["calibration"],
            }
        ),
        markdown(
            ["class", "SNOMED CT", "threshold", "temperature"],
            [
                [f"{name}, {of['name']}", ", ".join(of["codes"]), cell(of["threshold"])]
                + ["-" if of["temperature"] is None else cell(of["temperature"])]
                for name, of in card["classes"].items()
            ],
        ),
        "## How it was made",
        _list(
            {
                "weights": f"{card['weights']['file']}, step {card['step']:,}, sha256 "
                f"{card['weights']['sha256']}",
                "checkpoint": card["checkpoint"],
                "records": training["records"],
                "started from": training["started_from"] or "drawn weights",
                "seed": training["config"]["seed"],
                **{f"start at step {s['step']:,}": _start(s) for s in training["starts"]},
                **{key: dict(training["config"][key]) for key in ("model", "train", "loss")},
                "augment": dict(training["config"]["augment"]),
            }
        ),
        "## Scores",
        *(_scores(card, of) for of in card["performance"]),
        "## Limits",
        "\n".join(f"- {limit}" for limit in card["limits"]),
        "## Real records that had a part in making it",
        _seen(card["seen"]),
        "## Licence",
        f"{card['licence']}." + "".join(f"\n- {one}" for one in card["attribution"]),
    ]
    return "\n\n".join(parts) + "\n"


def _list(values: Mapping[str, Any]) -> str:
    return "\n".join(f"- {key}: {value}" for key, value in values.items())


def _start(start: Mapping[str, Any]) -> str:
    return f"`{' '.join(start['command'])}` at commit {start['commit']}"


def _scores(card: Mapping[str, Any], of: str) -> str:
    told = card["performance"][of]
    common = told["common_classes"]
    figures = ", ".join(f"{key.upper()} {common[key]:.3f}" for key in ("auroc", "auprc"))
    rows = []
    for name, entry in card["classes"].items():
        own = entry[of]
        marked = f"{name} **?**" if entry["untrusted"] else name
        cells = [cell(own[key], own["intervals"][key]) for key in _MEASURED]
        rows.append([marked, f"{own['positives']:,}", *cells])
    return "\n\n".join(
        [
            f"### On {told['records']:,} {of} records",
            f"{told['measured']}. {_COMMON} ({common['classes']}): {figures}. In brackets: 95 % "
            "intervals over patients. **?**: not to be trusted, see the limits.",
            markdown(
                ["metric", "all classes"],
                [[key, cell(told[key], told["intervals"][key])] for key in MACRO_METRICS],
            ),
            markdown(["class", "positives", *_MEASURED], rows),
        ]
    )


def _seen(seen: Mapping[str, Any]) -> str:
    if not seen["records"]:
        return "None. Simulated records are not listed: another seed gives others."
    first = ", ".join(seen["hashes"][:_MOST_HASHES])
    return (
        f"{seen['records']:,}, by the hashes of their signals ({first}, ..; all of them are in "
        "card.json and, with their landmarks, in seen.csv). Evaluation on any of them is refused."
    )
