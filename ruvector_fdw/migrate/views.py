# SPDX-License-Identifier: PostgreSQL
"""Makes a view or materialized view again, as text: over other types, under another name, with everything that hung
on it.
"""

from __future__ import annotations

from .ddl import ENABLE, create_trigger, enable_trigger, grants
from .model import View
from .names import ACCESS_METHODS, Mapper, literal, moved, qualified, quote


def create(view: View, mapper: Mapper | None, name: str | None = None) -> list[str]:
    """The view under ``name`` (default: its own): definition mapped, owner, options, defaults, triggers, comments,
    grants.

    A materialized view is made without rows; :func:`fill` reads them in and makes its indexes.
    """

    def mapped(text: str) -> str:
        return mapper.rewrite(text) if mapper is not None else text

    relation = qualified(view.schema, name or view.name)
    kind = "MATERIALIZED VIEW" if view.kind == "m" else "VIEW"
    options = [o.partition("=") for o in view.options]
    text = f"CREATE {kind} {relation}"
    if options:
        text += f" WITH ({', '.join(f'{key} = {literal(value)}' for key, _, value in options)})"
    text += f" AS\n{mapped(view.definition).rstrip().rstrip(';')}"
    if view.kind == "m":
        text += "\nWITH NO DATA"
    statements = [text, f"ALTER {kind} {relation} OWNER TO {quote(view.owner)}"]
    statements += [
        f"ALTER VIEW {relation} ALTER COLUMN {quote(c)} SET DEFAULT {mapped(d)}" for c, d in view.defaults.items()
    ]
    for trigger in view.triggers:
        statements.append(create_trigger(trigger, view, relation, mapper))
        if trigger.enabled != "O":
            statements.append(enable_trigger(trigger, relation))
        if trigger.comment is not None:
            statements.append(f"COMMENT ON TRIGGER {quote(trigger.name)} ON {relation} IS {literal(trigger.comment)}")
    for rule in view.rules:
        statements.append(mapped(rule.definition).rstrip().rstrip(";"))
        if rule.enabled != "O":
            statements.append(f"ALTER TABLE {relation} {ENABLE[rule.enabled]} RULE {quote(rule.name)}")
        if rule.comment is not None:
            statements.append(f"COMMENT ON RULE {quote(rule.name)} ON {relation} IS {literal(rule.comment)}")
    if view.comment is not None:
        statements.append(f"COMMENT ON {kind} {relation} IS {literal(view.comment)}")
    statements += [f"COMMENT ON COLUMN {relation}.{quote(c)} IS {literal(t)}" for c, t in view.column_comments.items()]
    return statements + grants(relation, view.grants)


def fill(
    view: View, mapper: Mapper | None, name: str | None = None, index_names: dict[str, str] | None = None
) -> list[str]:
    """Rows and indexes of a materialized view. ``index_names``: what an index is to be called instead of its own
    name.
    """
    relation = qualified(view.schema, name or view.name)
    statements = [f"REFRESH MATERIALIZED VIEW {relation}"] if view.populated else []
    for definition in view.indexes:
        text = map_index(definition, mapper) if mapper is not None else definition
        text = moved(text, " ON ", (view.schema, view.name), " ", relation)
        new = (index_names or {}).get(index_name(definition))
        if new is not None:
            head, on, tail = text.partition(f" ON {relation} ")
            text = f"{head.partition(' INDEX ')[0]} INDEX {quote(new)}{on}{tail}"
        statements.append(text)
    return statements


def map_index(definition: str, mapper: Mapper) -> str:
    """An index definition that the server printed, with our access method and operator class in place of pgvector's."""
    text = mapper.rewrite(definition)
    for theirs, ours in ACCESS_METHODS.items():
        if f" USING {theirs} (" in text:
            text = _opclasses(text.replace(f" USING {theirs} (", f" USING {ours} (", 1), mapper)
    return text


def _opclasses(text: str, mapper: Mapper) -> str:
    for schema in {mapper.schema, quote(mapper.schema)}:
        for metric in ("l2", "ip", "cosine", "l1"):
            text = text.replace(
                f" {schema}.vector_{metric}_ops", f" {quote(mapper.types['vector'][0])}.ruvector_{metric}_ops"
            )
            for kind in ("halfvec", "sparsevec"):
                home = quote(mapper.types[kind][0]) if kind in mapper.types else schema
                text = text.replace(f" {schema}.{kind}_{metric}_ops", f" {home}.{kind}_{metric}_ops")
    return text


def index_name(definition: str) -> str:
    """The (unquoted) name in an index definition that the server printed."""
    head = definition.partition(" INDEX ")[2]
    if head.startswith('"'):
        end = head.index('" ON ', 1)
        return head[1:end].replace('""', '"')
    return head.partition(" ")[0]


def drop(view: View, name: str | None = None) -> str:
    return f"DROP {'MATERIALIZED VIEW' if view.kind == 'm' else 'VIEW'} {qualified(view.schema, name or view.name)}"
