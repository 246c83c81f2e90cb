"""Every template is given what it reads, and nothing that it does not read."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields

import jinja2
import pytest
from jinja2 import meta, nodes

import app.main  # noqa: F401  # imports every module that has a page
from app.html.templates import Fragment, Page, templates

GIVEN_BY_PAGE = {"request", "twin"}  # to every page, beside its fields
NOT_GIVEN = {"layout.html", "_ui.html"}  # what pages extend, and macros that are a global


def contexts(kind: type[Fragment] = Fragment) -> Iterator[type[Fragment]]:
    for one in kind.__subclasses__():
        if hasattr(one, "template") and one.__module__.startswith("app."):
            yield one
        yield from contexts(one)


def parsed(environment: jinja2.Environment, name: str) -> nodes.Template:
    assert environment.loader is not None
    return environment.parse(environment.loader.get_source(environment, name)[0])


def scoped(environment: jinja2.Environment, body: Iterable[nodes.Node]) -> list[nodes.Node]:
    return [nodes.Scope([unfolded(environment, node) for node in body])] if body else []


def unfolded(environment: jinja2.Environment, node: nodes.Node) -> nodes.Node:
    """The node with what it includes in its place; what a branch of an `if` sets is forgotten after the branch."""
    if isinstance(node, nodes.Include):
        assert isinstance(node.template, nodes.Const)
        return nodes.Scope(scoped(environment, parsed(environment, node.template.value).body))
    if isinstance(node, nodes.If):
        node.body, node.else_ = scoped(environment, node.body), scoped(environment, node.else_)
        node.elif_ = [branch for one in node.elif_ if isinstance(branch := unfolded(environment, one), nodes.If)]
        return node
    for name, value in node.iter_fields():
        if isinstance(value, list):
            setattr(node, name, [unfolded(environment, one) if isinstance(one, nodes.Node) else one for one in value])
        elif isinstance(value, nodes.Node):
            setattr(node, name, unfolded(environment, value))
    return node


def read_by(environment: jinja2.Environment, name: str, block: str | None = None) -> set[str]:
    """The variables that a template reads, or one block of it, with all that it includes and extends."""
    tree = parsed(environment, name)
    parents = [one.template.value for one in tree.find_all(nodes.Extends) if isinstance(one.template, nodes.Const)]
    macros = {node.name for node in tree.body if isinstance(node, nodes.Macro)}
    if block:
        tree.body = next(one.body for one in tree.find_all(nodes.Block) if one.name == block)
    unfolded(environment, tree)
    tree.set_environment(environment)  # of the nodes that were made here
    read = meta.find_undeclared_variables(tree) - macros
    return read.union(*(read_by(environment, parent) for parent in parents))


def differing(environment: jinja2.Environment, context: type[Fragment]) -> tuple[set[str], set[str]]:
    """What is read but not given, and what is given but not read."""
    given = {field.name for field in fields(context)} | (GIVEN_BY_PAGE if issubclass(context, Page) else set())
    read = read_by(environment, context.template, context.block)
    return read - given, given - read - GIVEN_BY_PAGE


def shown_in(environment: jinja2.Environment, name: str) -> set[str]:
    """The template with all that it includes and extends."""
    found = set(meta.find_referenced_templates(parsed(environment, name))) - {None}
    return {name}.union(*(shown_in(environment, str(one)) for one in found))


@pytest.mark.parametrize("context", list(contexts()), ids=lambda context: context.__name__)
def test_what_is_given_is_what_is_read(context: type[Fragment]) -> None:
    assert differing(templates.env, context) == (set(), set())


def test_every_template_is_shown() -> None:
    shown = set().union(*(shown_in(templates.env, context.template) for context in contexts()))
    assert set(templates.env.list_templates()) == shown | NOT_GIVEN


READING = {
    "parent.html": "{{ run }}{% block content %}{% endblock %}",
    "page.html": '{% extends "parent.html" %}{% macro shown(x) %}{{ x }}{% endmacro %}{% block content %}'
    '{% for one in rows %}{% include "row.html" %}{% endfor %}{% with title = name %}{% include "title.html" %}'
    "{% endwith %}{{ shown(last) }}{% block results %}{{ found }}{% endblock %}{% endblock %}",
    "row.html": "{{ one }}{{ answer }}",
    "title.html": "{{ title }}",
    "branch.html": "{% if a %}{% set b = 1 %}{{ b }}{% elif c %}{% set d = 2 %}{{ d }}{% endif %}{{ d }}",
}


@pytest.mark.parametrize(
    ("name", "block", "read"),
    [
        ("page.html", None, {"run", "rows", "answer", "name", "last", "found"}),
        ("page.html", "results", {"run", "found"}),
        ("row.html", None, {"one", "answer"}),
        ("branch.html", None, {"a", "c", "d"}),
    ],
)
def test_reading_follows_includes_parents_and_scopes(name: str, block: str | None, read: set[str]) -> None:
    assert read_by(jinja2.Environment(loader=jinja2.DictLoader(READING)), name, block) == read


def test_what_lacks_and_what_is_spare_is_found() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Row(Fragment):
        template = "row.html"
        one: str
        spare: str

    assert differing(jinja2.Environment(loader=jinja2.DictLoader(READING)), Row) == ({"answer"}, {"spare"})
