# SPDX-License-Identifier: PostgreSQL
"""Expressions over the vector types, made from a seed, for comparing ours with pgvector's.

An expression names types as @vector@, @halfvec@ and @sparsevec@ and is then written for either side. Most are valid;
text input is also mutated, arrays hold NULLs and NaNs, and numbers come from the edges of float32 and binary16. Nothing
here talks to a server or says what a result should be: pgvector does.
"""

from __future__ import annotations

import math
import random
import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

TYPES = ("vector", "halfvec", "sparsevec")
OURS = {"vector": "ruvector", "halfvec": "ruvector.halfvec", "sparsevec": "ruvector.sparsevec"}
THEIRS = {name: name for name in TYPES}

# Around what each format can hold: subnormals, the largest, half-way points, and what is no number at all.
EDGES = [
    "0", "-0", "1", "-1", "0.1", "1e-45", "7e-46", "1.4e-45", "1.1754944e-38", "3.4028235e38", "3.4028236e38",
    "-3.5e38", "1e400", "1e-400", "1e30", "-1e20", "1e19", "65504", "65519", "65519.996", "65520", "-65520",
    "5.96e-8", "2.98e-8",
    "6.1e-5", "16777217", "0.333333343", "123456789012345678901234567890", "0.0000000000000000000000000000012345678901",
    "NaN", "inf", "-Infinity", "0x1p3", "1e", "1.", ".5", ".", "+2", "1e5000", "٣", "1_000",
]  # fmt: skip
JUNK = ["", " ", "[", "]", "{", "}", "(", ",,", ":", "/", "[]", "[ ]", "[,]", "null", "e", "-", "\t", "\v", "'", '"']


@dataclass(frozen=True)
class Case:
    """An expression, and the size of the terms of its sums: results may differ by 1e-6 of that; None for not at all."""

    expression: str
    scale: float | None = None

    def written_for(self, names: dict[str, str]) -> str:
        return re.sub(r"@(\w+)@", lambda found: names[found[1]], self.expression)


class Generator:
    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    # ---- values --------------------------------------------------------------------------------------------------

    def number(self, wild: float = 0.05) -> str:
        r = self.random
        if r.random() < wild:
            return r.choice(EDGES)
        form = r.choice(["{:.3f}", "{:.9g}", "{:.17g}", "{:d}", "{:e}"])
        value = r.gauss(0, r.choice([0.01, 1, 100]))
        return form.format(int(value)) if form == "{:d}" else form.format(value)

    def dims(self) -> int:
        wide = self.random.random() < 0.01
        return self.random.choice([384, 1536] if wide else [1, 2, 3, 3, 3, 4, 7, 8, 9, 16, 17, 33, 100])

    def dense(self, dims: int, wild: float = 0.0) -> str:
        return "[" + ",".join(self.number(wild) for _ in range(dims)) + "]"

    def sparse(self, dims: int, wild: float = 0.0) -> str:
        chosen = self.random.sample(range(1, dims + 1), self.random.randint(0, min(dims, 12)))
        return "{" + ",".join(f"{i}:{self.number(wild)}" for i in chosen) + f"}}/{dims}"

    def text(self, kind: str, dims: int, wild: float = 0.0) -> str:
        return self.sparse(dims, wild) if kind == "sparsevec" else self.dense(dims, wild)

    def value(self, kind: str, dims: int, wild: float = 0.0) -> str:
        return f"{literal(self.text(kind, dims, wild))}::@{kind}@"

    def kind(self) -> str:
        return self.random.choice(TYPES)

    def dense_kind(self) -> str:
        return self.random.choice(TYPES[:2])

    # ---- expressions ---------------------------------------------------------------------------------------------

    def malformed(self) -> Case:
        r = self.random
        kind = self.kind()
        text = self.text(kind, self.dims(), 0.1)
        for _ in range(r.randint(1, 3)):
            at = r.randint(0, len(text))
            cut = at + r.choice([0, 0, 1, 1, 2, 5])
            text = text[:at] + r.choice([*JUNK, r.choice(EDGES), r.choice("0123456789-+.,:/[]{} ")]) + text[cut:]
        return Case(f"{literal(text)}::@{kind}@")

    def edges(self) -> Case:
        kind = self.kind()
        return Case(self.value(kind, self.dims(), 0.3))

    def typmod(self) -> Case:
        kind = self.kind()
        sizes = ["1", "2", "3", "4", "0", "-1", "16000", "16001", "1000000000", "1000000001", "1,2", "'a'"]
        modifier = self.random.choice(sizes)
        return Case(f"{literal(self.text(kind, 3))}::@{kind}@({modifier})")

    def distance(self) -> Case:
        r = self.random
        kind = self.kind()
        dims = self.dims()
        a, b = self.text(kind, dims, 0.02), self.text(kind, dims if r.random() < 0.95 else dims + 1, 0.02)
        form = r.choice(
            [f"{{a}} {name} {{b}}" for name in ("<->", "<#>", "<=>", "<+>")]
            + [f"{name}({{a}}, {{b}})" for name in ("l2_distance", "inner_product", "cosine_distance", "l1_distance")]
            + [f"@prefix-{kind}@{name}({{a}}, {{b}})" for name in ("l2_squared_distance", "negative_inner_product")]
            + [f"@prefix-{kind}@spherical_distance({{a}}, {{b}})"]
        )
        scale = max(1.0, magnitude(a) * magnitude(b)) if "inner" in form or "<#>" in form else 1e-30
        if "cosine" in form or "<=>" in form:
            scale = 1.0
        sides = {"a": f"{literal(a)}::@{kind}@", "b": f"{literal(b)}::@{kind}@"}
        return Case(re.sub(r"@prefix-(\w+)@", r"@prefix_\1@", form).format(**sides), scale)

    def bits(self) -> Case:
        r = self.random
        length = r.choice([1, 7, 8, 9, 64, 129])
        a, b = ("".join(r.choice("01") for _ in range(length + (r.random() < 0.1))) for _ in "ab")
        operator = r.choice(["B'{a}' @bits@(<~>) B'{b}'", "B'{a}' @bits@(<%>) B'{b}'"])
        form = r.choice([operator, "@hamming@(B'{a}', B'{b}')", "@jaccard@(B'{a}', B'{b}')"])
        return Case(form.format(a=a, b=b), 1e-30)

    def unary(self) -> Case:
        r = self.random
        kind = self.kind()
        names = {
            "vector": ["vector_dims", "vector_norm", "l2_normalize", "binary_quantize"],
            "halfvec": ["vector_dims", "l2_norm", "l2_normalize", "binary_quantize"],
            "sparsevec": ["l2_norm", "l2_normalize"],
        }
        name = r.choice(names[kind])
        scale = 1e-30 if name.endswith("norm") else None
        return Case(f"{name}({self.value(kind, self.dims(), 0.05)})", scale)

    def subvector(self) -> Case:
        r = self.random
        start, count = (r.choice([-2147483648, -3, -1, 0, 1, 2, 3, 9, 100, 2147483647]) for _ in "ab")
        return Case(f"subvector({self.value(self.dense_kind(), self.dims())}, {start}, {count})")

    def arithmetic(self) -> Case:
        r = self.random
        kind = self.kind() if r.random() < 0.1 else self.dense_kind()
        dims = self.dims()
        other = dims if r.random() < 0.9 else dims + 1
        return Case(f"{self.value(kind, dims, 0.05)} {r.choice(['+', '-', '*', '||'])} {self.value(kind, other, 0.05)}")

    def comparison(self) -> Case:
        r = self.random
        kind = self.kind()
        dims = r.choice([1, 2, 3])
        small = [self.text(kind, dims if r.random() < 0.8 else dims + 1) for _ in range(2)]
        if r.random() < 0.5:
            few = ["0", "-0", "1", "-1", "2"]
            small = [re.sub(r"-?[0-9.e+-]+(?=[,\]}])", lambda _: r.choice(few), text) for text in small]
        a, b = (f"{literal(text)}::@{kind}@" for text in small)
        operators = [f"{a} {name} {b}" for name in ("<", "<=", "=", "<>", ">=", ">")]
        return Case(r.choice([*operators, f"@prefix_{kind}@cmp({a}, {b})"]))

    def array(self) -> Case:
        r = self.random
        base = r.choice(["integer", "real", "double precision", "numeric"])
        n = r.choice([0, 1, 3, 3, 3, 20])
        elements = [str(r.randint(-9, 9)) if base == "integer" else self.number() for _ in range(n)]
        if elements and r.random() < 0.2:
            strange = ["NULL", "2147483647", "0"]
            if base != "integer":
                strange += ["NaN", "1e39", "1e-50", "70000", "Infinity"]
            elements[r.randrange(n)] = r.choice(strange)
        text = "{" + ",".join(elements) + "}"
        if r.random() < 0.1:
            text = "{" + text + "," + text + "}"
        elif r.random() < 0.1 and n:
            text = f"[5:{4 + n}]={text}"
        modifier = r.choice(["", "", "", "(3)", "(4)"])
        return Case(f"{literal(text)}::{base}[]::@{self.kind()}@{modifier}")

    def to_array(self) -> Case:
        return Case(f"{self.value(self.kind(), self.dims(), 0.02)}::real[]")

    def conversion(self) -> Case:
        r = self.random
        a, b = self.kind(), self.kind()
        modifier = r.choice(["", "", "(3)"])
        return Case(f"{self.value(a, r.choice([1, 3, 3, 8, 20000 if a == 'sparsevec' else 3]), 0.05)}::@{b}@{modifier}")

    def aggregate(self) -> Case:
        r = self.random
        kind = self.dense_kind()
        dims = self.dims()
        rows = [self.value(kind, dims if r.random() < 0.97 else dims + 1, 0.01) for _ in range(r.randint(0, 6))]
        rows = [row if r.random() < 0.9 else f"NULL::@{kind}@" for row in rows]
        source = ", ".join(f"({row})" for row in rows) or f"(NULL::@{kind}@)"
        return Case(f"(SELECT {r.choice(['avg', 'sum'])}(v) FROM (VALUES {source}) AS t(v))")

    def ordering(self) -> Case:
        r = self.random
        kind = self.kind()
        dims = r.choice([1, 2])
        source = ", ".join(f"({self.value(kind, dims)})" for _ in range(r.randint(2, 8)))
        listed = f"string_agg(v::text, ' ' ORDER BY v {r.choice(['ASC', 'DESC'])})"
        return Case(f"(SELECT {r.choice([listed, 'count(DISTINCT v)'])} FROM (VALUES {source}) AS t(v))")

    def unknown(self) -> Case:
        """Calls that do not exist, or take part of their arguments as untyped literals."""
        r = self.random
        kind = self.kind()
        value = self.value(kind, 3)
        untyped = literal(self.text(kind, 3))
        forms = [f"{value} <-> {untyped}", f"{untyped} <=> {value}", f"{value} <-> 1", f"{value} <-> NULL",
                 f"{value}::integer", f"{value}::bytea", f"{value} / {value}", f"abs({value})",
                 f"({value})::text::@{kind}@", f"{value} <-> {self.value(self.kind(), 3)}",
                 f"l2_distance({value}, {value}, 1)"]  # fmt: skip
        return Case(r.choice(forms), 1.0)

    def cases(self, count: int) -> Iterator[Case]:
        makers: list[tuple[Callable[[], Case], int]] = [
            (self.malformed, 8), (self.edges, 3), (self.typmod, 1), (self.distance, 8), (self.bits, 2), (self.unary, 3),
            (self.subvector, 1), (self.arithmetic, 3), (self.comparison, 4), (self.array, 4), (self.to_array, 1),
            (self.conversion, 3), (self.aggregate, 3), (self.ordering, 2), (self.unknown, 1),
        ]  # fmt: skip
        chosen = self.random.choices([maker for maker, _ in makers], [weight for _, weight in makers], k=count)
        for maker in chosen:
            yield maker()


def literal(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"E'{escaped}'"


def magnitude(text: str) -> float:
    """The Euclidean norm of the readable numbers of a literal, at most float32's largest."""
    total = 0.0
    for found in re.findall(r"(?:^|[\[,:])([-+0-9.e]+)(?=[,\]}])", text):
        try:
            total += min(abs(float(found)), 3.4e38) ** 2
        except ValueError:
            continue
    return float(total**0.5)


def binary(seed: int, count: int) -> Iterator[tuple[str, bytes]]:
    """Messages for the binary input functions: (kind, bytes), valid ones and mutations of them."""
    r = random.Random(seed)
    for _ in range(count):
        kind = r.choice(TYPES)
        dims = r.choice([1, 2, 3, 8])
        values = [r.gauss(0, 1) if r.random() < 0.95 else r.choice([0.0, 1.0, math.nan, math.inf]) for _ in range(dims)]
        if kind == "vector":
            data = struct.pack(f">hh{dims}f", dims, 0, *values)
        elif kind == "halfvec":
            data = struct.pack(f">hh{dims}e", dims, 0, *values)
        else:
            data = struct.pack(f">iii{dims}i{dims}f", dims + r.choice([0, 1, 100]), dims, 0, *range(dims), *values)
        if r.random() < 0.6:
            for _ in range(r.randint(1, 3)):
                at = r.randrange(len(data) + 1)
                put = bytes(r.choice([0, 1, 127, 128, 255]) for _ in range(r.randint(0, 2)))
                data = data[:at] + put + data[at + r.randint(0, 2) :]
        yield kind, data
