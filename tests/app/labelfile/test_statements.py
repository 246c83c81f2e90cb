"""Kept statements: built once for a key, and only the last ones are kept."""

from app.labelfile.statements import KEPT, Statements


def test_a_statement_is_built_once_for_its_key_and_the_oldest_are_forgotten() -> None:
    built: list[int] = []
    statements: Statements[int] = Statements()

    def ask(key: int) -> int:
        def build() -> int:
            built.append(key)
            return 10 * key

        return statements.get(key, build)

    assert [ask(1), ask(2), ask(1)] == [10, 20, 10]
    assert built == [1, 2]
    for key in range(3, KEPT + 2):  # one more than are kept: 2 was asked longest ago
        ask(key)
    built.clear()
    assert [ask(1), ask(2)] == [10, 20]
    assert built == [2]
