"""Hashes and equality of pod templates and steps, beside those of Argo Rollouts' own code with Kubernetes' own types."""

from __future__ import annotations

import json
import subprocess
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from harness import go_types, tools
from rollway.controller import go_json, quantities, templates
from rollway.controller.hashes import Flavour, pod_template_hash, steps_hash
from rollway.routers.errors import ManifestError

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = pytest.mark.local
FLAVOURS = pytest.mark.parametrize("flavour", list(Flavour))
TEXTS = (
    "web",
    "",
    'a"b\\c/d',
    "<a>&b",
    "tab\tline\nreturn\rbell\a\b\f\x01\x1f\x7f",
    "caf\u00e9 \u65e5\u672c \U0001f680",
    "\u2028\u2029",
    " ",
    "null",
    "0",
)
KEYS = (
    "app",
    "a.b/c",
    "Z",
    "a",
    "\u00e9",
    "\U0001f680",
    "\uffee",
    "<",
    "nvidia.com/gpu",
    "cpu",
)
QUANTITIES = (
    *(
        "0",
        "1",
        "100m",
        "1000m",
        "1500m",
        "0.5",
        "0.50",
        ".5",
        "1.",
        "1.500",
        "+1",
        "-1",
        "1e3",
        "1E3",
        "12e-3",
    ),
    *("100Mi", "1024Mi", "1.5Gi", "1Gi", "8Ki", "1000k", "1000", "1000E", "00", "-0", "0.0", "1e-10", "0.1n"),
    *(1, 0, 1500, 0.5, 1.5, 1000000),
)
TIMES = (
    "2026-01-31T12:00:00Z",
    "2026-01-31T12:00:00.123456789+02:00",
    "0001-01-01T00:00:00Z",
    "0999-12-31T23:59:59-01:00",
)
RAW: tuple[Any, ...] = (
    {},
    {"b": [1, 1.5, None], "a": {"<&>": "\u2028"}},
    [],
    "",
    0,
    False,
    "text",
    {"z": {}, "a": {}},
)


def ask(flavour: Flavour, questions: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what Argo's code answers to each question."""
    lines = "".join(json.dumps(question, ensure_ascii=False) + "\n" for question in questions)
    program = str(tools.hashes(flavour.value).path())
    done = subprocess.run([program], input=lines.encode(), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def struct_of(kind: str) -> str:
    """Return the name of the struct, or of the scalar, that a kind holds."""
    return kind.removeprefix("map:").lstrip("*[]")


class Values:
    """Values of the Go types by chance; any may be null, empty or zero.

    `unmet` has the fields that had no value yet, by struct: the way to them is taken until it is empty.
    """

    def __init__(self, structs: go_json.Types, root: str, seed: int) -> None:
        self.random = Random(seed)
        self.unmet: set[tuple[str, str]] = set()
        self._structs = structs
        self._add(struct_of(root))
        self._scalars: dict[str, Sequence[Any]] = {
            "string": TEXTS,
            "bool": (True, False),
            "int32": (0, 1, -1, 8080, 2**31 - 1, -(2**31)),
            "int64": (0, 1, -1, 30, 2**63 - 1, -(2**63)),
            "Quantity": QUANTITIES,
            "IntOrString": (0, 1, "http", "", "25%", "8080"),
            "Time": TIMES,
            "Raw": RAW,
        }

    def _add(self, struct: str) -> None:
        for field in self._structs.get(struct, ()):
            if (struct, field.name) not in self.unmet:
                self.unmet.add((struct, field.name))
                self._add(struct_of(field.kind))

    def make(self, kind: str) -> Any:
        """Return a value of a kind."""
        if self.random.random() < 0.03:
            return None
        if kind.startswith("*"):
            return self.make(kind[1:])
        if kind.startswith("[]"):
            return [self.make(kind[2:]) for _ in range(self.random.choice((0, 1, 1, 1, 2)))]
        if kind.startswith("map:"):
            return {key: self.make(kind[4:]) for key in self.random.sample(KEYS, self.random.randrange(4))}
        if kind in self._structs:
            return self._struct(kind)
        return self.random.choice(self._scalars[kind])

    def _struct(self, name: str) -> dict[str, Any]:
        value: dict[str, Any] = {}
        for field in self.random.sample(self._structs[name], len(self._structs[name])):
            if self._leads_to_unmet(name, field) or self.random.random() < 0.3:
                value[field.name] = self.make(field.kind)
                if value[field.name] not in (None, []):
                    self.unmet.discard((name, field.name))
        if self.random.random() < 0.05:
            value["ofAnotherVersion"] = {"a": 1}
        return value

    def _leads_to_unmet(self, name: str, field: go_json.Field) -> bool:
        if not self.unmet:
            return False
        struct = struct_of(field.kind)
        below = self._structs.get(struct, ())
        return (name, field.name) in self.unmet or any(self._leads_to_unmet(struct, each) for each in below)


@FLAVOURS
def test_pod_templates_have_the_hashes_of_argo_rollouts(flavour: Flavour) -> None:
    """Four hundred templates, which have every field, are written and hashed as Argo's controller does."""
    structs = go_json.types("template", flavour.value)
    values = Values(structs, "PodTemplateSpec", seed=1)
    made = [values.make("PodTemplateSpec") or {} for _ in range(400)]
    assert not values.unmet
    collisions = [(None, 0, 1, 2**31 - 1)[index % 4] for index in range(len(made))]
    pairs = zip(made, collisions, strict=True)
    answers = ask(flavour, [{"template": value, "collisionCount": count} for value, count in pairs])
    for value, count, answer in zip(made, collisions, answers, strict=True):
        written = go_json.text(go_json.Reading(structs).read("PodTemplateSpec", value))
        assert written == answer.get("text"), (answer, value)
        assert pod_template_hash(value, count, flavour=flavour) == answer["hash"]


@FLAVOURS
def test_steps_have_the_hashes_of_argo_rollouts(flavour: Flavour) -> None:
    """Three hundred lists of steps, which have every field, are written and hashed as Argo's controller does."""
    structs = go_json.types("steps", flavour.value)
    values = Values(structs, "[]CanaryStep", seed=2)
    made = [values.make("[]CanaryStep") for _ in range(300)]
    assert not values.unmet
    for value, answer in zip(made, ask(flavour, [{"steps": value} for value in made]), strict=True):
        written = go_json.text(go_json.Reading(structs).read("[]CanaryStep", value))
        assert written == answer.get("text"), (answer, value)
        assert steps_hash(value, flavour=flavour) == answer["hash"]


def test_quantities_are_written_as_kubernetes_does() -> None:
    """Three thousand texts, half of them no quantities, are read, written and refused as Kubernetes does."""
    random = Random(3)
    numbers = [
        "",
        "0",
        "00",
        "1",
        "7",
        "8",
        "500",
        "1000",
        "1500",
        "1024",
        "007",
        "123456789",
        "9" * 15,
        "9" * 18,
        "1" * 25,
    ]
    places = ["", "", "", ".", ".0", ".5", ".50", ".000", ".125", ".0000000001", ".123456789123", ".1.2"]
    suffixes = ["", "", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"]
    suffixes += [
        "e3",
        "E6",
        "e-3",
        "e+2",
        "e0",
        "e1",
        "E-7",
        "e-12",
        "e30",
        "e",
        "mi",
        "K",
        "i",
        "ee3",
        "m3",
        " ",
    ]
    texts = [
        random.choice(["", "", "", "-", "+"])
        + random.choice(numbers)
        + random.choice(places)
        + random.choice(suffixes)
        for _ in range(3000)
    ]
    for text, answer in zip(texts, ask(Flavour.CURRENT, [{"quantity": text} for text in texts]), strict=True):
        try:
            written: str | None = f'"{quantities.parse(text.strip()).text}"'
        except ValueError:
            written = None
        assert written == answer.get("text"), (text, answer)


@pytest.mark.parametrize(
    "template",
    [
        {"spec": {"containers": [{"image": 5}]}},
        {"spec": {"containers": {}}},
        {"spec": {"hostNetwork": "true"}},
        {"spec": {"hostNetwork": 1}},
        {"spec": {"priority": 2**31}},
        {"spec": {"priority": "5"}},
        {"spec": {"priority": 1.5}},
        {"spec": {"nodeSelector": {"a": 1}}},
        {"spec": {"nodeSelector": []}},
        {"spec": "x"},
        {"spec": {"containers": [{"resources": {"limits": {"cpu": "1x"}}}]}},
        {"spec": {"containers": [{"livenessProbe": {"httpGet": {"port": 1.5}}}]}},
        {"metadata": {"creationTimestamp": "yesterday"}},
    ],
)
def test_what_go_cannot_read_is_refused(template: dict[str, Any]) -> None:
    """A template that Go's types cannot hold has no hash, neither here nor there."""
    (answer,) = ask(Flavour.CURRENT, [{"template": template}])
    assert answer["error"]
    with pytest.raises(ManifestError):
        pod_template_hash(template)


def changed(value: Any, random: Random) -> Any:
    """Return a copy of a value in which one place is another."""
    if isinstance(value, dict) and value and random.random() < 0.9:
        key = random.choice(list(value))
        if random.random() < 0.2:
            return {name: item for name, item in value.items() if name != key}
        return {**value, key: changed(value[key], random)}
    if isinstance(value, list) and value and random.random() < 0.9:
        index = random.randrange(len(value))
        return [*value[:index], changed(value[index], random), *value[index + 1 :]]
    if isinstance(value, dict | list):
        return random.choice((None, type(value)(), value))
    if isinstance(value, bool):
        return not value
    return random.choice((None, value))


def test_templates_are_equal_where_kubernetes_takes_them_for_equal() -> None:
    """Two thousand pairs of templates that differ in one place are equal here when they are in Kubernetes' own code."""
    structs = go_json.types("template", "current")
    values = Values(structs, "PodTemplateSpec", seed=4)
    pairs = []
    for _ in range(2000):
        left = values.make("PodTemplateSpec") or {}
        pairs.append((left, changed(left, values.random) or {}))
    pairs += [(amounts(left), amounts(right)) for left in QUANTITIES for right in QUANTITIES]
    answers = ask(Flavour.CURRENT, [{"equal": pair} for pair in pairs])
    for (left, right), answer in zip(pairs, answers, strict=True):
        assert templates.equal(left, right) is answer.get("equal"), (answer, left, right)
    assert {answer["equal"] for answer in answers} == {True, False}


def amounts(quantity: Any) -> dict[str, Any]:
    """Return a template with one quantity."""
    return {"spec": {"containers": [{"name": "a", "resources": {"limits": {"cpu": quantity}}}]}}


def test_the_types_are_those_of_the_modules() -> None:
    """The file of the package is what `harness/go_types.py` makes of the modules that are pinned."""
    assert go_types.FILE.read_text() == go_types.generated()
