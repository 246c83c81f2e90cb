"""The label file of a model: complete, sorted; models are added, renewed and refused."""

import json
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from neuronym.label_tables import metadata
from neuronym.library import read_catalogue
from neuronym.settings import ROOT, Settings
from tests.checkpoints import LAYERS, NEURONS, make_checkpoint
from tests.reading import rows
from worker.errors import CheckpointError, LabelFileError
from worker.labelfile import label_file
from worker.labelfile.label_file import migrate
from worker.library.published import published_models
from worker.map_run import MapRun
from worker.mapping.mapping import MapRecipe, Progress


def map_into(data: Path, folder: Path, name: str, recipe: MapRecipe | None = None) -> str:
    return MapRun(Settings(data=data), recipe or MapRecipe()).map([str(folder)], [name])


def test_migrations_and_tables_agree() -> None:
    engine = sa.create_engine("duckdb:///:memory:")
    with engine.connect() as connection:
        migrate(connection)
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", str(ROOT / "migrations"))
        command.check(config)
        names = sa.inspect(connection).get_table_names()
        assert set(names) == {*metadata.tables, "alembic_version"}
        connection.commit()
        command.downgrade(config, "base")
        assert sa.inspect(connection).get_table_names() == ["alembic_version"]
    engine.dispose()


def test_an_installation_at_any_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "100%s"
    place.mkdir()
    (place / "migrations").symlink_to(ROOT / "migrations", target_is_directory=True)
    monkeypatch.setattr(label_file, "ROOT", place)
    engine = sa.create_engine("duckdb:///:memory:")
    with engine.connect() as connection:
        migrate(connection)
        assert {*metadata.tables} < {*sa.inspect(connection).get_table_names()}
    engine.dispose()


def test_every_neuron_is_there_once_and_in_order(data_folder: Path) -> None:
    labels = rows(data_folder, "SELECT model, view, lens, layer, neuron FROM label")
    assert len(labels) == LAYERS * NEURONS * 3 * 2
    assert labels == sorted(set(labels))
    by_token = rows(data_folder, "SELECT side, place, -z FROM label_by_token")
    assert len(by_token) == len(labels) * 30
    assert by_token == sorted(by_token)


def test_tokens_have_their_place_in_the_alphabet(data_folder: Path) -> None:
    tokens = rows(data_folder, "SELECT folded, id, place FROM token")
    assert [place for *_, place in sorted(tokens)] == list(range(len(tokens)))  # Python sorts by code point, as DuckDB
    place_of = {id_: place for _, id_, place in tokens}
    searched = rows(data_folder, "SELECT DISTINCT token, place FROM label_by_token")
    assert len(searched) > 100
    assert all(place_of[token] == place for token, place in searched)


def test_a_search_row_says_what_its_label_says(data_folder: Path) -> None:
    wrong = rows(
        data_folder,
        """SELECT count(*) FROM label_by_token s JOIN label l USING (view, lens, layer, neuron)
        WHERE s.side = 0 AND (l.top_ids[s.rank + 1] <> s.token OR l.top_scores[s.rank + 1] <> s.score
          OR s.bottom_0 IS NOT NULL OR s.rank = 0 AND abs(s.z - l.z) > 1e-4)
        OR s.side = 1 AND (l.bottom_ids[s.rank + 1] <> s.token OR s.z > 0 OR s.bottom_0 IS DISTINCT FROM l.bottom_ids[1]
          OR s.bottom_4 IS DISTINCT FROM l.bottom_ids[5])
        OR s.top_0 <> l.top_ids[1] OR s.top_4 <> l.top_ids[5] OR s.layer_z <> l.layer_z""",
    )
    assert wrong == [(0,)]


def test_models_are_added_and_renewed(tmp_path: Path) -> None:
    data = tmp_path / "data"
    llama, gpt2 = make_checkpoint(tmp_path / "a"), make_checkpoint(tmp_path / "b", "gpt2")
    first = map_into(data, llama, "first")
    before = rows(data, "FROM label")
    second = map_into(data, gpt2, "second")
    assert first != second
    assert rows(data, "FROM label WHERE model = 0") == before
    assert rows(data, "SELECT name, gated FROM model") == [("first", True), ("second", False)]
    assert rows(data, "SELECT count(*) FROM label WHERE model = 1") == [(LAYERS * NEURONS * 2 * 2,)]

    map_into(data, llama, "first", MapRecipe(top_k=7))
    assert rows(data, "SELECT id, name FROM model ORDER BY id") == [(0, "first"), (1, "second")]
    assert rows(data, "SELECT DISTINCT len(top_ids) FROM label WHERE model = 0") == [(7,)]
    keys = rows(data, "SELECT model, view, lens, layer, neuron FROM label")
    assert keys == sorted(keys)
    assert [model.name for model in published_models(data)] == ["first", "second"]


def test_a_name_taken_by_other_weights_is_refused(tmp_path: Path) -> None:
    data = tmp_path / "data"
    run = map_into(data, make_checkpoint(tmp_path / "a"), "name")
    with pytest.raises(LabelFileError, match="--name"):
        map_into(data, make_checkpoint(tmp_path / "b", seed=1), "name")
    assert read_catalogue(data).run == run


def test_folders_of_one_name_are_told_apart_before_mapping(tmp_path: Path) -> None:
    data, first, second = tmp_path / "data", tmp_path / "a" / "model", tmp_path / "b" / "model"
    run = MapRun(Settings(data=data)).map([str(make_checkpoint(first))])
    mapped: list[object] = []
    with pytest.raises(LabelFileError, match=f"'model' is taken by .*{first}.*--name"):
        MapRun(Settings(data=data), report=mapped.append).map([str(make_checkpoint(second, seed=1))])
    assert not mapped and read_catalogue(data).run == run
    MapRun(Settings(data=data)).map([str(second)], ["other"])
    assert rows(data, "SELECT name, source FROM model") == [("model", str(first)), ("other", str(second))]


def test_what_is_mapped_of_another_model_is_kept(tmp_path: Path) -> None:
    first, second = make_checkpoint(tmp_path / "a" / "model"), make_checkpoint(tmp_path / "b" / "model", seed=1)
    settings = Settings(data=tmp_path / "data")

    def stop(progress: Progress) -> None:
        if progress.layers_done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        MapRun(settings, report=stop).map([str(first)])
    with pytest.raises(LabelFileError, match=rf"another model called 'model' .{first}.*--name.*--fresh"):
        MapRun(settings).map([str(second)])
    done: list[int] = []
    MapRun(settings, report=lambda progress: done.append(progress.layers_done)).map([str(first)])
    assert done == [2, 3, 4]
    with pytest.raises(KeyboardInterrupt):
        MapRun(settings, report=stop).map([str(second)], ["other"])
    assert MapRun(settings, resume=False).map([str(first)], ["other"])  # --fresh


def test_two_models_of_one_name_are_refused(tiny_llama: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="--name"):
        MapRun(Settings(data=tmp_path)).map([str(tiny_llama), str(tiny_llama)])


def test_a_lost_row_is_not_published(tiny_llama: Path, tmp_path: Path) -> None:
    run = map_into(tmp_path, tiny_llama, "tiny")
    again = MapRun(Settings(data=tmp_path), MapRecipe(top_k=9))

    def lose_a_shard(progress: object) -> None:
        for shard in (tmp_path / ".mapping").rglob("label-up-0000.parquet"):
            if getattr(progress, "layers_done", 0) == LAYERS:
                shard.unlink()

    with pytest.raises(LabelFileError, match="should have 1,152 labels, but 1,056 were loaded"):
        MapRun(again.settings, again.recipe, report=lose_a_shard).map([str(tiny_llama)], ["tiny"])
    assert read_catalogue(tmp_path).run == run
    assert not list(tmp_path.rglob(".building-*"))


def test_an_unreadable_label_file_is_named(tmp_path: Path, tiny_llama: Path) -> None:
    map_into(tmp_path, tiny_llama, "tiny")
    (file,) = (tmp_path / "library").rglob("*.duckdb")
    file.write_bytes(b"no database")
    with pytest.raises(LabelFileError, match=f"{file.name} could not be built or read"):
        published_models(tmp_path)


def test_no_models_before_the_first_mapping(tmp_path: Path) -> None:
    assert published_models(tmp_path) == []


def test_provenance(data_folder: Path, tiny_llama: Path) -> None:
    (row,) = rows(data_folder, "SELECT source, architecture, tied, chat, dtype, settings, versions, vocab FROM model")
    source, architecture, tied, chat, dtype, settings, versions, vocab = row
    assert (source, architecture, tied, chat, dtype) == (str(tiny_llama), "llama", True, True, "f32")
    assert json.loads(str(settings))["top_k"] == 20
    assert {"torch", "transformers"} <= set(json.loads(str(versions)))
    assert rows(data_folder, "SELECT count(*) FROM token") == [(vocab,)]
