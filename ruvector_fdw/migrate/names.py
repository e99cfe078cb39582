# SPDX-License-Identifier: PostgreSQL
"""From pgvector's names to ours, in SQL text that the server printed.

Every definition the tool carries over (view, default, check, index expression, policy, trigger) is asked from the
server with ``search_path = pg_catalog``, so that a name of pgvector always stands qualified, as ``public.vector(3)`` or
``OPERATOR(public.<->)``. The text is cut into SQL tokens (strings, comments, dollar quotes and quoted identifiers are
tokens of their own and never touched) and only those qualified names are replaced. A table cannot be mistaken for a
type: its row type would have the type's name. What maps to what is decided here and nowhere else.

Token rules: PostgreSQL manual, section 4.1 (lexical structure).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

NAME_BYTES_MAX = 63
SHADOW_SUFFIX = "_ruvector"
RETIRED_SUFFIX = "_pgvector_old"

TYPES = {"vector": "ruvector", "halfvec": "halfvec", "sparsevec": "sparsevec"}
ACCESS_METHODS = {"hnsw": "ruhnsw", "ivfflat": "ruivfflat"}
# Functions the guide renames; used only where the extension has no function of pgvector's own name.
FUNCTIONS = {
    "vector_dims": "ruvector_dims",
    "vector_norm": "ruvector_norm",
    "l2_distance": "ruvector_l2_distance",
    "cosine_distance": "ruvector_cosine_distance",
    "l1_distance": "ruvector_l1_distance",
}

_TOKEN = re.compile(
    r"""(?P<space>\s+|--[^\n]*|/\*.*?\*/)
      | (?P<string>[eE]'(?:[^'\\]|\\.|'')*' | (?:[uUbBxX]&?)?'(?:[^']|'')*' | \$(?P<tag>\w*)\$.*?\$(?P=tag)\$)
      | (?P<quoted>"(?:[^"]|"")+")
      | (?P<word>[^\W\d][\w$]*)
      | (?P<number>\d[\w.]*)
      | (?P<operator>[-+*/<>=~!@#%^&|`?]+)
      | (?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)
_PLAIN = re.compile(r"[a-z_][a-z0-9_]*\Z")


def quote(name: str) -> str:
    """A name as an identifier: quoted when it is not plain lower case, or a key word."""
    return name if _PLAIN.match(name) and name not in _RESERVED else '"' + name.replace('"', '""') + '"'


def qualified(schema: str, name: str) -> str:
    """``schema.name`` with what needs quoting quoted."""
    return f"{quote(schema)}.{quote(name)}"


def moved(text: str, before: str, relation: tuple[str, str], after: str, target: str) -> str:
    """``text`` with the first ``before`` + the relation's qualified name + ``after`` naming ``target`` instead.

    The server decides what it quotes (its key words are those of its version), so each part may stand either way.
    """
    parts = (
        "|".join({re.escape(quote(p)), re.escape('"' + p.replace('"', '""') + '"'), re.escape(p)}) for p in relation
    )
    pattern = rf"{re.escape(before)}{r'[.]'.join(f'(?:{p})' for p in parts)}{re.escape(after)}"
    return re.sub(pattern, lambda _: f"{before}{target}{after}", text, count=1)


def literal(text: str) -> str:
    """A string literal that is right whatever ``standard_conforming_strings`` says."""
    body = text.replace("'", "''")
    return f"E'{body.replace(chr(92), chr(92) * 2)}'" if "\\" in body else f"'{body}'"


def derived(name: str, suffix: str) -> str:
    """``name`` + ``suffix`` in at most 63 bytes; a name that must be cut gets six hex digits of its digest instead."""
    whole = name + suffix
    if len(whole.encode()) <= NAME_BYTES_MAX:
        return whole
    tail = "_" + hashlib.sha256(name.encode()).hexdigest()[:6] + suffix
    return name.encode()[: NAME_BYTES_MAX - len(tail)].decode(errors="ignore") + tail


@dataclass(frozen=True)
class Extension:
    """What one installed extension owns, by name. Opclasses by (access method, name)."""

    name: str
    version: str
    schema: str
    types: dict[str, str] = field(default_factory=dict)
    functions: dict[str, str] = field(default_factory=dict)
    operators: dict[str, str] = field(default_factory=dict)
    opclasses: dict[tuple[str, str], str] = field(default_factory=dict)
    access_methods: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Mapper:
    """Names of pgvector (``schema``) to qualified names of ours; ``inverted`` goes back."""

    schema: str
    types: dict[str, tuple[str, str]]
    functions: dict[str, tuple[str, str]]
    operators: dict[str, str]

    @staticmethod
    def between(pgvector: Extension, ours: Extension | None) -> Mapper:
        """Without ``ours`` (not installed yet) the names are those it will take beside pgvector in pgvector's
        schema.
        """
        if ours is None:
            homes = {"vector": pgvector.schema, "halfvec": "ruvector", "sparsevec": "ruvector"}
            types = {name: (homes[name], TYPES[name]) for name in pgvector.types if name in TYPES}
            return Mapper(pgvector.schema, types, {}, {})
        types = {n: (ours.types[TYPES[n]], TYPES[n]) for n in pgvector.types if TYPES.get(n, "") in ours.types}
        functions: dict[str, tuple[str, str]] = {}
        for name in pgvector.functions:
            target = name if name in ours.functions else FUNCTIONS.get(name, "")
            if target in ours.functions:
                functions[name] = (ours.functions[target], target)
        operators = {op: ours.operators[op] for op in pgvector.operators if op in ours.operators}
        return Mapper(pgvector.schema, types, functions, operators)

    def type_name(self, kind: str) -> str:
        """Our type for pgvector's ``kind``, qualified."""
        return qualified(*self.types[kind])

    def rewrite(self, text: str) -> str:
        """``text`` with each qualified name of pgvector replaced by ours."""
        tokens = list(_tokens(text))
        solid = [i for i, (kind, _) in enumerate(tokens) if kind != "space"]
        for at, i in enumerate(solid):
            part = [tokens[j][1] for j in solid[at : at + 4]] + [""] * 4
            before = tokens[solid[at - 1]][1] if at else ""
            if part[1] != "." or before == "." or not _is_name(tokens[i]) or _name(part[0]) != self.schema:
                continue
            third = solid[at + 2]
            if _is_name(tokens[third]):
                target = self.types.get(_name(part[2]))
                if target is None and part[3] == "(":
                    target = self.functions.get(_name(part[2]))
                if target is not None:
                    tokens[i], tokens[third] = ("word", quote(target[0])), ("word", quote(target[1]))
            elif (
                before == "("
                and at > 1
                and tokens[solid[at - 2]][1].upper() == "OPERATOR"
                and part[2] in self.operators
            ):
                tokens[i] = ("word", quote(self.operators[part[2]]))
        return "".join(token for _, token in tokens)


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup if match.lastgroup != "tag" else "string"
        yield str(kind), match.group(0)


def _is_name(token: tuple[str, str]) -> bool:
    return token[0] in ("word", "quoted")


def _name(token: str) -> str:
    return token[1:-1].replace('""', '"') if token.startswith('"') else token.lower()


# Reserved key words of PostgreSQL 18 (manual, appendix C), with those reserved for functions and types.
_RESERVED = frozenset(
    """all analyse analyze and any array as asc asymmetric authorization binary both case cast check collate collation
    column concurrently constraint create cross current_catalog current_date current_role current_schema current_time
    current_timestamp current_user default deferrable desc distinct do else end except false fetch for foreign freeze
    from full grant group having ilike in initially inner intersect into is isnull join lateral leading left like limit
    localtime localtimestamp natural not notnull null offset on only or order outer overlaps placing primary references
    returning right select session_user similar some symmetric system_user table tablesample then to trailing true
    union unique user using variadic verbose when where window with between bigint bit boolean char character coalesce
    dec decimal exists extract float greatest grouping inout int integer interval json json_array json_arrayagg
    json_exists json_object json_objectagg json_query json_scalar json_serialize json_table json_value least
    merge_action national nchar none normalize nullif numeric out overlay position precision real row setof smallint
    substring time timestamp treat trim values varchar xmlattributes xmlconcat xmlelement xmlexists xmlforest
    xmlnamespaces xmlparse xmlpi xmlroot xmlserialize xmltable""".split()  # noqa: SIM905
)
