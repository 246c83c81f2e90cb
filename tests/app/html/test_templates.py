"""Every template is given what it reads, and nothing that it does not read."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields

import jinja2
import pytest
from jinja2 import meta, nodes

import app.main  # noqa: F401  # imports every module that has a page
from app.html.templates import Fragment, Page, templates

GIVEN_BY_PAGE = {"request", "twin", "mapping"}  # to every page, beside its fields
NOT_GIVEN = {"layout.html", "_ui.html"}  # what pages extend, and macros that are a global


def fragment_classes(kind: type[Fragment] = Fragment) -> Iterator[type[Fragment]]:
    for subclass in kind.__subclasses__():
        if hasattr(subclass, "template") and subclass.__module__.startswith("app."):
            yield subclass
        yield from fragment_classes(subclass)


def parse(environment: jinja2.Environment, name: str) -> nodes.Template:
    assert environment.loader is not None
    return environment.parse(environment.loader.get_source(environment, name)[0])


def scope(environment: jinja2.Environment, body: Iterable[nodes.Node]) -> list[nodes.Node]:
    return [nodes.Scope([unfold(environment, node) for node in body])] if body else []


def unfold(environment: jinja2.Environment, node: nodes.Node) -> nodes.Node:
    """Put included templates in place of their includes, and give each branch of an `if` a scope of its own."""
    if isinstance(node, nodes.Include):
        assert isinstance(node.template, nodes.Const)
        return nodes.Scope(scope(environment, parse(environment, node.template.value).body))
    if isinstance(node, nodes.If):
        node.body, node.else_ = scope(environment, node.body), scope(environment, node.else_)
        node.elif_ = [branch for child in node.elif_ if isinstance(branch := unfold(environment, child), nodes.If)]
        return node
    for name, value in node.iter_fields():
        if isinstance(value, list):
            children = [unfold(environment, child) if isinstance(child, nodes.Node) else child for child in value]
            setattr(node, name, children)
        elif isinstance(value, nodes.Node):
            setattr(node, name, unfold(environment, value))
    return node


def read_by(environment: jinja2.Environment, name: str, block: str | None = None) -> set[str]:
    """The variables read by a template, or by one block of it, and by all that it includes and extends."""
    tree = parse(environment, name)
    parents = [node.template.value for node in tree.find_all(nodes.Extends) if isinstance(node.template, nodes.Const)]
    macros = {node.name for node in tree.body if isinstance(node, nodes.Macro)}
    if block:
        tree.body = next(node.body for node in tree.find_all(nodes.Block) if node.name == block)
    unfold(environment, tree)
    tree.set_environment(environment)  # of the new nodes too
    read = meta.find_undeclared_variables(tree) - macros
    return read.union(*(read_by(environment, parent) for parent in parents))


def name_differences(environment: jinja2.Environment, context: type[Fragment]) -> tuple[set[str], set[str]]:
    """The names that are read but not fields of the context, and the fields that are not read."""
    fields_given = {field.name for field in fields(context)} | (GIVEN_BY_PAGE if issubclass(context, Page) else set())
    names_read = read_by(environment, context.template, context.block)
    return names_read - fields_given, fields_given - names_read - GIVEN_BY_PAGE


def templates_in(environment: jinja2.Environment, name: str) -> set[str]:
    """The template with all that it includes and extends."""
    references = set(meta.find_referenced_templates(parse(environment, name))) - {None}
    return {name}.union(*(templates_in(environment, str(reference)) for reference in references))


@pytest.mark.parametrize("context", list(fragment_classes()), ids=lambda context: context.__name__)
def test_what_is_given_is_what_is_read(context: type[Fragment]) -> None:
    assert name_differences(templates.env, context) == (set(), set())


def test_every_template_is_shown() -> None:
    shown = set().union(*(templates_in(templates.env, context.template) for context in fragment_classes()))
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
    class RowFragment(Fragment):
        template = "row.html"
        one: str
        spare: str

    assert name_differences(jinja2.Environment(loader=jinja2.DictLoader(READING)), RowFragment) == (
        {"answer"},
        {"spare"},
    )
