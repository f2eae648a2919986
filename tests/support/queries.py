"""What a PromQL expression asks for: each selector, and the labels by which its results are grouped or joined."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import promql_parser
import yaml

from edge.observe.catalogue import BY_NAME
from edge.observe.metric import Type

TARGET = frozenset({"location", "node", "role", "job", "instance"})  # of the scrape's target, not of the program
PROMETHEUS = frozenset({"up", "ALERTS"})  # its own series
_CHOICE = re.compile(r"[\w.+-]+(\|[\w.+-]+)*")


@dataclass(frozen=True, slots=True)
class Selector:
    """One metric as an expression asks for it. `matchers`: name, operator, value."""

    metric: str
    matchers: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True, slots=True)
class Query:
    selectors: tuple[Selector, ...]
    grouped_by: frozenset[str]


@dataclass(frozen=True, slots=True)
class Rule:
    name: str
    expression: str
    annotations: dict[str, str]
    alert: bool


def rules_of(directory: Path) -> list[Rule]:
    """Every rule of the files in a directory."""
    found = []
    for path in sorted(directory.glob("*.yml")):
        for group in yaml.safe_load(path.read_text())["groups"]:
            for rule in group["rules"]:
                name = rule.get("alert") or rule["record"]
                found.append(Rule(name, rule["expr"], rule.get("annotations", {}), "alert" in rule))
    return found


def parse(expression: str) -> Query:
    """Raises ValueError where the expression is not PromQL."""
    selectors: list[Selector] = []
    labels: set[str] = set()

    def visit(node: promql_parser.Expr) -> bool:
        if isinstance(node, promql_parser.MatrixSelector):
            node = node.vector_selector
        if isinstance(node, promql_parser.VectorSelector):
            matchers = tuple((m.name, str(m.op), m.value) for m in node.matchers.matchers)
            selector = Selector(node.name, matchers)
            if selector not in selectors:
                selectors.append(selector)
        elif isinstance(node, promql_parser.AggregateExpr) and node.modifier is not None:
            labels.update(node.modifier.labels)
        elif isinstance(node, promql_parser.BinaryExpr) and node.modifier is not None and node.modifier.matching:
            labels.update(node.modifier.matching.labels)
        return True

    promql_parser.walk(promql_parser.parse(expression), visit)
    return Query(tuple(selectors), frozenset(labels))


def base_of(metric: str) -> str:
    """The catalogue's name of a series: a histogram's three have one."""
    base = re.sub(r"_(bucket|sum|count)$", "", metric)
    return base if base in BY_NAME and BY_NAME[base].type is Type.HISTOGRAM else metric


def strangers(expression: str, recorded: frozenset[str]) -> Iterator[str]:
    """What an expression names that neither the catalogue nor a recorded series has: it would be empty for ever."""
    query = parse(expression)
    known: set[str] = set(TARGET)
    for selector in query.selectors:
        if selector.metric in recorded or selector.metric in PROMETHEUS:
            known |= {"upstream"} if selector.metric.startswith("upstream:") else set()
            continue
        if base_of(selector.metric) not in BY_NAME:
            yield f"no such metric: {selector.metric}"
            continue
        labels = _labels_of(selector.metric)
        known |= set(labels)
        for name, _operator, value in selector.matchers:
            if name not in labels and name not in TARGET:
                yield f"{selector.metric} has no label {name}"
            elif name in labels and labels[name] and _CHOICE.fullmatch(value):
                yield from (f"{selector.metric}: no {name}={v}" for v in value.split("|") if v not in labels[name])
    yield from (f"grouped by {name}, which no metric of it has" for name in sorted(query.grouped_by - known))


def _labels_of(metric: str) -> dict[str, frozenset[str]]:
    """Label to its values; empty where only a running edge knows them."""
    described = BY_NAME[base_of(metric)]
    labels = {label.name: frozenset(label.values) for label in described.labels}
    if metric.endswith("_bucket"):
        labels["le"] = frozenset(
            {f"{bound:g}" for bound in described.buckets} | {f"{b:.1f}" for b in described.buckets}
        )
    return labels
