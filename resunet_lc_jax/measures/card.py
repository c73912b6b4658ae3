"""A run's model card: what is known of the items of TRIPOD+AI, for machines and for readers.

Collins et al., "TRIPOD+AI statement: updated guidance for reporting clinical prediction models that
use regression or machine learning methods", BMJ 2024;385:e078378. Numbers in brackets are items.
"""

from collections.abc import Mapping
from typing import Any

from resunet_lc_jax.measures.comparison_tables import markdown
from resunet_lc_jax.measures.intervals import FEWEST
from resunet_lc_jax.measures.measured import SHARES
from resunet_lc_jax.measures.metrics import CLASS_METRICS, MACRO_METRICS
from resunet_lc_jax.measures.report import GROUPS, cell, counted, over

_OF_CALIBRATION = ("brier", "debiased_error", "slope", "intercept")
_MOST_REASONS = 12
UNKNOWN = {
    "objectives, background, health inequalities (3, 4)": "",
    "dates, setting and eligibility of the records' sources (5, 6)": "see the databases' papers",
    "who gave the diagnoses, and how (8)": "labels are as the databases have them",
    "why this many records (10)": "",
    "how fairness was approached (14)": "performance by sex and age is below",
    "ethical approval (17)": "",
    "funding, conflicts, protocol, registration (18)": "",
    "involvement of patients and the public (19)": "",
    "use in care: who, with which input, at which risk (27)": "no use in care was tested",
}
"""What this program cannot know and an author must add, with what can be said of it."""


def build_card(
    report: Mapping[str, Any], *, records: Mapping[str, Any], training: Mapping[str, Any]
) -> dict[str, Any]:
    """Gathers a card.

    Args:
      report: of `report.build_report`, with its notes.
      records: of `making.describe_records`.
      training: of `making.describe_training`.

    Returns:
      about, records, training, performance (the report's numbers without curves), limits (a
      sentence each) and to_be_added, by item.
    """
    classes = {
        name: {key: value for key, value in entry.items() if key != "precision_recall"}
        for name, entry in report["classes"].items()
    }
    keys = (*MACRO_METRICS, "intervals", "records", "patients", "annotated_only", *GROUPS)
    performance = {key: report[key] for key in keys if key in report}
    return {
        "about": report["about"],
        "records": records,
        "training": training,
        "performance": performance | {"classes": classes},
        "limits": _limits(report, records),
        "to_be_added": UNKNOWN,
    }


def _limits(report: Mapping[str, Any], records: Mapping[str, Any]) -> list[str]:
    limits = []
    splits = records["splits"]
    trained, tested = (set(splits[name]["databases"]) for name in ("train", "test"))
    if all(name.startswith("simulated") for name in trained):
        limits.append("Made of simulated records: it says nothing of patients.")
    shared = ", ".join(sorted(trained & tested))
    if shared:
        limits.append(f"Tested on other records of the databases that trained it ({shared}).")
    else:
        limits.append("Tested on databases that did not train it.")
    if few := report["few_positives"]:
        limits.append(
            f"Performance is unknown for {len(few)} of {len(report['classes'])} classes, with "
            f"fewer than {FEWEST} positive patients in the test: {', '.join(few)}."
        )
    absent = [k for k, of in splits["train"]["classes"].items() if not of["positives"]]
    if absent:
        limits.append(f"Without a record to learn from: {', '.join(absent)}.")
    if (known := report["annotated_only"]["cells"]) < 1:
        limits.append(
            f"Of {100 * (1 - known):.0f} % of the labels the source never gives the class: they "
            "count as negative; annotated_only has the metrics without them."
        )
    ages, test = splits["test"]["age"]["unknown"], splits["test"]["records"]
    sexes = splits["test"]["sexes"].get("unknown", 0)
    if ages or sexes:
        limits.append(f"Of {test:,} test records {ages:,} have no age and {sexes:,} no sex.")
    return [*limits, *dict.fromkeys([*records["notes"], *report.get("notes", [])])]


def format_card(card: Mapping[str, Any]) -> str:
    """Lays out a card as Markdown."""
    about, performance = card["about"], card["performance"]
    parts = [
        f"# Model card: {about['network']}, step {about['step']:,}",
        _list({key: value for key, value in about.items() if value is not None}),
        "## Records (5, 6, 7, 20)",
        *_flow(card["records"], unknown=bool(about.get("patients_unknown"))),
        "## Outcome: diagnoses by split (8, 13, 20)",
        _prevalence(card["records"]["splits"]),
        "## Training (12, 21, 22)",
        _training(card["training"]),
        "## Performance (23)",
        f"On the {about['split']} split: {counted(performance, about)}. "
        f"In brackets: 95 % intervals {over(about)}.",
        markdown(
            ["metric", "all"],
            [[k, cell(performance[k], performance["intervals"][k])] for k in MACRO_METRICS],
        ),
        f"### Classes (\\*: fewer than {FEWEST} positives, no interval)",
        _of_classes(performance["classes"], (*CLASS_METRICS, *SHARES)),
        *_groups(performance),
        "## Calibration (12, 23)",
        _of_calibration(performance["classes"]),
        "## Thresholds (15)",
        f"Chosen by the rule {about['thresholds']} on the validation records; a class is decided "
        "for where its score is at least its threshold.",
        markdown(
            ["class", "threshold"],
            [[n, cell(e["threshold"])] for n, e in performance["classes"].items()],
        ),
        "## Limits (26)",
        "\n".join(f"- {limit}" for limit in card["limits"]),
        "## To be added by the authors",
        "\n".join(
            f"- {item}" + f": {said}" * bool(said) for item, said in card["to_be_added"].items()
        ),
    ]
    return "\n\n".join(parts) + "\n"


def _list(values: Mapping[str, Any]) -> str:
    return "\n".join(f"- {key}: {value}" for key, value in values.items())


def _flow(records: Mapping[str, Any], *, unknown: bool) -> list[str]:
    """The flow of records, as a list, then the splits as a table."""
    excluded = records["excluded"]
    lines = [f"- found: {records['found']:,}", f"- excluded: {sum(excluded.values()):,}"]
    lines += [f"  - {n:,} {reason}" for reason, n in [*excluded.items()][:_MOST_REASONS]]
    if more := len(excluded) - _MOST_REASONS:
        lines += [f"  - and {more} reasons more, in card.json"] * (more > 0)
    lines += [
        f"- used: {records['used']:,}, of them {records['without_split']:,} in no split",
        *(f"- remark on {n:,}: {text}" for text, n in records["remarks"].items()),
    ]
    rows = []
    for name, split in records["splits"].items():
        low, middle, high = split["age"]["quartiles"]
        rows.append(
            [name, f"{split['records']:,}", "unknown" if unknown else f"{split['patients']:,}"]
            + [f"{cell(middle, digits=0)} ({cell(low, digits=0)} to {cell(high, digits=0)})"]
            + [", ".join(f"{n:,} {of}" for of, n in split[key].items()) for key in _COUNTED]
        )
    head = ["split", "records", "patients", "age: median (quartiles)", *_COUNTED]
    return ["\n".join(lines), markdown(head, rows)]


_COUNTED = ("sexes", "databases")


def _prevalence(splits: Mapping[str, Any]) -> str:
    names = next(iter(splits.values()))["classes"]
    rows = []
    for name in names:
        of = [split["classes"][name] for split in splits.values()]
        rows.append([name, *(f"{e['positives']:,} ({100 * e['prevalence']:.1f} %)" for e in of)])
    return markdown(["class", *splits], rows)


def _training(training: Mapping[str, Any]) -> str:
    config, starts = training["config"], training["starts"]
    used = sorted({device for start in starts for device in start["devices"]})
    hours = training["hours"]
    return _list(
        {
            "parameters": f"{training['parameters']:,}",
            "devices": ", ".join(used) or "unknown",
            "starts": len(starts),
            "hours": "unknown" if hours is None else f"{hours:.2f}",
            **{key: dict(config[key]) for key in ("model", "train", "loss", "augment")},
            "seed": config["seed"],
        }
    )


def _of_classes(classes: Mapping[str, Any], keys: tuple[str, ...]) -> str:
    rows = []
    for name, entry in classes.items():
        starred = f"{name}\\*" if entry["few_positives"] else name
        cells = [cell(entry[key], entry["intervals"][key]) for key in keys]
        rows.append([starred, f"{entry['positives']:,}", *cells])
    return markdown(["class", "positives", *keys], rows)


def _groups(performance: Mapping[str, Any]) -> list[str]:
    parts = []
    for kind, heading in GROUPS.items():
        if kind in performance:
            rows = [
                [name, f"{entry['records']:,}"]
                + [cell(entry[key], entry["intervals"][key]) for key in MACRO_METRICS]
                for name, entry in performance[kind].items()
            ]
            parts += [f"### By {heading}", markdown([heading, "records", *MACRO_METRICS], rows)]
    return parts


def _of_calibration(classes: Mapping[str, Any]) -> str:
    rows = []
    for name, entry in classes.items():
        of = entry["calibration"]
        cells = [cell(of[key], of["intervals"][key]) for key in _OF_CALIBRATION]
        after = of.get("after")
        cells += [
            cell(of["temperature"], digits=2) if after else "-",
            cell(after["debiased_error"], after["intervals"]["debiased_error"]) if after else "-",
        ]
        rows.append([name, *cells])
    head = ["class", *_OF_CALIBRATION, "temperature", "debiased_error after it"]
    return markdown(head, rows)
