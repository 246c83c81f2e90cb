"""Pages about a pair: they show what their twins say, name the stand-in, and lead from either side to the other."""

from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from bs4 import BeautifulSoup, Tag
from starlette.testclient import TestClient

from app.html.text import percent
from app.labelfile.library import Library
from app.main import create_app
from app.pages.charts.layers import agreement_charts
from app.queries.search.search import SearchQuery, search
from neuronym.contract import LayerAgreement, Lens, View
from neuronym.settings import Settings
from tests.app.label_files import NOTE as PLANTED_NOTE
from tests.app.label_files import Plan, write_library
from tests.app.pages.test_pages import PARTIAL, soup
from tests.app.pair_files import NOTE, PairFile

PAIR = "/compare/before/after"


def only(page: BeautifulSoup | Tag, selector: str) -> Tag:
    """The single element that matches the selector."""
    (element,) = page.select(selector)
    return element


def words(tag: Tag) -> str:
    return " ".join(tag.text.split())


def test_compare_leads_to_the_first_pair(client: TestClient) -> None:
    answer = client.get("/compare", follow_redirects=False)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/compare/tiny-base/tiny-chat")


def test_without_a_pair_compare_says_how_to_make_one(tmp_path: Path) -> None:
    write_library(tmp_path, Plan(pairs=False))
    with TestClient(create_app(Settings(data=tmp_path))) as client:
        page = soup(client, "/compare")
        assert "neuronym-worker map BASE INSTRUCT" in page.text
        assert not soup(client, "/").select(".glance")
        assert not soup(client, "/neurons/tiny-chat/2/1").select(".beside-line")
        assert not soup(client, "/search?q=dog").select("#agreement")


def test_the_overview_shows_the_figures_of_its_twin(paired_client: TestClient) -> None:
    answer = paired_client.get("/api/v1" + PAIR).json()
    page = soup(paired_client, PAIR)
    ours, papers = page.select(".headline .large")
    assert ours.text == percent(answer["agreement"]["up"]["logit"])
    assert papers.text == "75.4%"
    quoted = words(only(page, ".quoted"))
    assert "authors’ figure for Llama 3.1 8B" in quoted and "not measured here" in quoted
    overall = page.select("table.agreements")[0]
    rows = [[cell.text.strip() for cell in row.select("th, td")] for row in overall.select("tbody tr")]
    shown = {(row[0], row[1].split()[0]): [row[2], *row[4:]] for row in rows}
    assert len(shown) == 6
    for figures in answer["overall"]:
        same, ties, renamed, cosine, overlap = shown[figures["lens"], figures["view"]]
        assert (same, ties) == (percent(figures["agreement"]), percent(figures["near_ties"]))
        assert renamed == percent(max(1 - figures["agreement"] - figures["near_ties"], 0))
        assert (cosine, overlap) == (f"{figures['mean_cosine']:.4f}", percent(figures["mean_overlap"]))


def test_each_chart_has_its_sentence_and_its_numbers_in_a_table(paired_client: TestClient) -> None:
    answer = paired_client.get("/api/v1" + PAIR).json()
    cards = soup(paired_client, PAIR).select("figure.chart-card")
    assert len(cards) == 2
    for card, lens in zip(cards, ("cosine", "logit"), strict=True):
        sentence = only(card, "figcaption").text
        assert only(card, "svg[role=img]")["aria-label"] == f"{lens} lens. {sentence}"
        measured = [row for row in answer["by_layer"] if row["lens"] == lens]
        assert percent(min(row["agreement"] for row in measured)) in sentence
        assert [len(line.select("circle")) for line in [card]] == [len(measured)]
        views = [view.text.split()[0] for view in card.select("thead .view")]
        for row in card.select("details table tbody tr"):
            layer, *cells = (cell.text for cell in row.select("th, td"))
            for place, view in enumerate(views):
                (figures,) = (row for row in measured if (row["layer"], row["view"]) == (int(layer), view))
                assert cells[3 * place] == percent(figures["agreement"])
                assert cells[3 * place + 1] == percent(figures["near_ties"])


def measured(layer: int, agreement: float, view: View = View.up) -> LayerAgreement:
    return LayerAgreement(
        layer=layer,
        view=view,
        lens=Lens.cosine,
        neurons=9,
        agreement=agreement,
        near_ties=0,
        mean_cosine=1,
        mean_overlap=1,
    )


@pytest.mark.parametrize(
    ("shares", "ticks", "heights"),
    [
        ([1.0, 1.0], ["99.9%", "100%"], [0, 0]),
        ([0.954, 0.99], ["95%", "96%", "97%", "98%", "99%", "100%"], [92, 20]),
        ([0.0, 1.0], ["0%", "20%", "40%", "60%", "80%", "100%"], [100, 0]),
        ([0.75], ["75%", "80%", "85%", "90%", "95%", "100%"], [100]),
    ],
)
def test_the_axis_begins_at_a_round_share_below_the_least(
    shares: list[float], ticks: list[str], heights: list[float]
) -> None:
    (chart,) = agreement_charts([measured(layer, share) for layer, share in enumerate(shares)])
    assert [tick.text for tick in chart.up] == ticks
    assert [point.y for point in chart.lines[0].points] == pytest.approx(heights)
    assert [tick.text for tick in chart.across] == [str(layer) for layer in range(len(shares))]


def test_names_at_the_end_of_lines_do_not_cover_each_other() -> None:
    rows = [measured(layer, 0.5 + layer / 2, view) for view in View for layer in (0, 1)]
    (chart,) = agreement_charts(rows)
    names = sorted(line.name_y for line in chart.lines)
    assert names == pytest.approx([0, 9, 18])
    low = agreement_charts([measured(layer, 1 - layer, view) for view in View for layer in (0, 1)])[0]
    assert sorted(line.name_y for line in low.lines) == pytest.approx([82, 91, 100])
    assert agreement_charts([]) == []


def test_both_sides_stand_beside_each_other_place_by_place(paired_client: TestClient) -> None:
    answer = paired_client.get(f"/api/v1{PAIR}/1/3").json()
    page = soup(paired_client, f"{PAIR}/1/3")
    for lens in ("cosine", "logit"):
        for view in ("gate", "up", "down"):
            card = only(page, f'[aria-labelledby="{view}-{lens}"]')
            rows = [row.select("td") for row in card.select("tbody tr")]
            drift = answer["views"][view][lens]
            for side, place in (("base", 0), ("instruct", 1)):
                tokens = answer["sides"][side]["views"][view][lens]["top_tokens"]
                assert [only(row[place], "a bdi").text for row in rows] == [
                    token["text"] if token["text"].isprintable() else only(row[place], "a bdi").text
                    for token, row in zip(tokens, rows, strict=True)
                ]
            assert len(card.select("td:nth-of-type(2) .gained")) == len(drift["gained"])
            assert len(card.select("td:nth-of-type(1) .lost")) == len(drift["lost"])
            assert len(card.select(".step")) == sum(
                token["base_rank"] != token["instruct_rank"] for token in drift["shared"]
            )
            verdict = "near tie" if drift["near_tie"] else "same name" if drift["same_top"] else "renamed"
            assert verdict in only(card, ".top .figure").text


def test_what_came_and_went_is_said_in_words_too(paired_client: TestClient) -> None:
    page = soup(paired_client, f"{PAIR}/1/3")
    assert {words(mark).rsplit(" ", 1)[-1] for mark in page.select("a.gained")} == {"gained"}
    assert {words(mark).rsplit(" ", 1)[-1] for mark in page.select("a.lost")} == {"lost"}
    assert all(mark.select("svg.icon") for mark in page.select("a.gained, a.lost"))


@pytest.mark.parametrize(("model", "other"), [("before", "after"), ("after", "before")])
def test_one_click_from_either_side_and_back(paired_client: TestClient, model: str, other: str) -> None:
    page = soup(paired_client, f"/neurons/{model}/2/5")
    link = page.select(".beside-line a")[0]
    assert (link["href"], words(link)) == (f"{PAIR}/2/5", f"Beside {other}")
    assert [words(view) for view in page.select(".beside-line")[0].select(".as")] == [
        "gate reads same name",
        "up reads renamed",
        "down writes same name",
    ]
    back = {str(link["href"]) for link in soup(paired_client, f"{PAIR}/2/5").select("a[href]")}
    assert {"/neurons/before/2/5", "/neurons/after/2/5", f"{PAIR}/2/4", f"{PAIR}/2/6"} <= back


def test_a_base_in_several_pairs_leads_to_each(paired_client: TestClient) -> None:
    page = soup(paired_client, "/neurons/before/0/1")
    assert [link["href"] for link in page.select(".beside-line a")] == [f"{PAIR}/0/1", "/compare/before/later/0/1"]
    assert [link["href"] for link in soup(paired_client, PAIR).select(".pairs a")] == [PAIR, "/compare/before/later"]
    assert not soup(paired_client, "/neurons/other/0/1").select(".beside-line")


def test_the_list_of_renamed_neurons_is_that_of_its_twin(paired_client: TestClient) -> None:
    address = f"{PAIR}/changed?lens=logit&include_near_ties=true&sort=layer"
    rows = soup(paired_client, address).select("table.found tbody tr")
    results = paired_client.get("/api/v1" + address).json()["results"]
    assert [(only(row, ".neuron").text, words(only(row, ".view")).split()[0]) for row in rows] == [
        (result["neuron"], result["view"]) for result in results
    ]
    assert [bool(row.select(".near")) for row in rows] == [result["near_tie"] for result in results]
    assert only(rows[0], ".neuron")["href"] == f"{PAIR}/{results[0]['layer']}/{results[0]['index']}"


def test_filters_are_a_form_that_keeps_what_was_chosen(paired_client: TestClient) -> None:
    page = soup(paired_client, f"{PAIR}/changed?view=up&lens=logit&layer=2&include_near_ties=true&concept=dog")
    chosen = {str(field["name"]): str(only(field, "[selected]")["value"]) for field in page.select("select")}
    assert chosen == {"view": "up", "lens": "logit", "include_near_ties": "true", "sort": "drift"}
    assert (only(page, "#layer")["value"], only(page, "#concept")["value"]) == ("2", "dog")
    block = paired_client.get(f"{PAIR}/changed?view=&layer=&concept=&include_near_ties=true", headers=PARTIAL)
    assert block.headers["HX-Replace-Url"] == f"{PAIR}/changed?include_near_ties=true"
    assert "<html" not in block.text
    assert paired_client.get(block.headers["HX-Replace-Url"]).status_code == 200


def test_concepts_lead_to_the_neurons_behind_them(paired_client: TestClient) -> None:
    page = soup(paired_client, f"{PAIR}/concepts?view=down")
    concepts = paired_client.get(f"/api/v1{PAIR}/concepts?view=down").json()["results"]
    links = page.select("table.concepts .change a")
    assert len(links) == len(concepts) == 2
    for link, concept in zip(links, concepts, strict=True):
        address = str(link["href"])
        assert parse_qs(urlsplit(address).query)["include_near_ties"] == ["true"]
        neurons = paired_client.get("/api/v1" + address).json()["results"]
        tops = [(result["base_tokens"][0], result["instruct_tokens"][0]) for result in neurons]
        gained = sum(after["token_id"] == concept["token_id"] for _, after in tops)
        lost = sum(before["token_id"] == concept["token_id"] for before, _ in tops)
        assert gained - lost == concept["change"]


def test_the_stand_in_is_named_wherever_it_appears(paired_client: TestClient, client: TestClient) -> None:
    for address in (PAIR, f"{PAIR}/2/5", f"{PAIR}/changed", f"{PAIR}/concepts", "/models"):
        assert NOTE in soup(paired_client, address).text, address
    for address in ("/neurons/after/2/5", "/"):
        assert [mark["title"] for mark in soup(paired_client, address).select("abbr.mark")] == [NOTE], address
    marks = soup(client, "/neurons/tiny-chat/2/1").select("abbr.mark")
    assert [(mark.text, mark["title"]) for mark in marks] == [("stand-in", PLANTED_NOTE)]
    assert not soup(paired_client, "/compare/before/later").select(".mark")


def test_home_shows_agreement_at_a_glance(paired_client: TestClient) -> None:
    answer = paired_client.get("/api/v1" + PAIR).json()
    first = soup(paired_client, "/").select(".glance .card")[0]
    assert only(first, ".where a")["href"] == PAIR
    assert [figure.text for figure in first.select(".figure .num")] == [
        percent(answer["agreement"][view]["cosine"]) for view in ("gate", "up", "down")
    ]


def test_the_counterpart_of_a_result_is_what_the_other_label_says(paired: Library, pairs: PairFile) -> None:
    """Check all results of every token text, in the first pair of each model and in a pair that the query names."""
    every = ",".join(f'"{text}"' for (text,) in pairs.rows("SELECT DISTINCT text FROM token") if '"' not in text)
    for pair in (None, "second"):
        answer = search(paired, SearchQuery(q=every[:9_000], limit=500, pair=pair))
        assert answer.results
        for result in answer.results:
            if result.model in ("other", "lone"):
                assert result.counterpart is None
                continue
            other = "later" if pair or result.model == "later" else "after"
            other = "before" if result.model != "before" else other
            place = (result.view, result.layer, result.index)
            label = pairs.labels(other, result.lens)[place]
            own = pairs.labels(result.model, result.lens)[place]
            assert result.counterpart is not None
            assert result.counterpart.model == other
            assert [token.token_id for token in result.counterpart.top_tokens] == label.top_ids[:5]
            assert result.counterpart.same_top == (label.top_ids[0] == own.top_ids[0])


@pytest.mark.parametrize("pair", ["planted", "second"])
def test_agreement_filters_a_search_in_the_pair_that_is_asked_for(paired: Library, pairs: PairFile, pair: str) -> None:
    instruct = {"planted": "after", "second": "later"}[pair]
    moved = pairs.moved(instruct, Lens.cosine)
    texts = {place: pairs.labels("before", Lens.cosine)[place].top_ids[0] for place in moved}
    for place, token in texts.items():
        ((text,),) = pairs.rows(f"SELECT text FROM token WHERE model = 0 AND id = {token}")
        query = SearchQuery(q='"' + text.replace('"', '""') + '"', pair=pair, agreement="changed", limit=500)
        places = {(result.view, result.layer, result.index) for result in search(paired, query).results}
        assert place in places and places <= moved


def test_a_pair_is_one_row_however_it_is_paged(paired_client: TestClient, paired: Library) -> None:
    """Every label of the family is in exactly one row of one page."""
    results = search(paired, SearchQuery(q="dog, cat"))
    rows = search(paired, SearchQuery(q="dog, cat"), folded=True)
    assert 30 < rows.total < results.total
    seen: list[tuple[str, str, str]] = []
    models = 0
    for offset in range(0, rows.total, 23):
        page = soup(paired_client, f"/search?q=dog,%20cat&limit=23&offset={offset}")
        for row in page.select("table.found tbody tr"):
            names = {str(model.find(string=True)) for model in row.select(".named-model")}
            models += len(names)
            family = "family" if names & {"before", "after", "later"} else names.pop()
            seen.append((only(row, ".neuron").text, words(only(row, ".view")), family))
    assert len(seen) == len(set(seen)) == rows.total
    assert models == results.total


def test_a_row_shows_both_names_only_where_they_differ(paired_client: TestClient, pairs: PairFile) -> None:
    place = (View.gate, 1, 3)
    (token, *_) = pairs.labels("before", Lens.cosine)[place].top_ids
    ((text,),) = pairs.rows(f"SELECT text FROM token WHERE model = 0 AND id = {token}")
    page = soup(paired_client, f"/search?q=%22{text}%22&pair=planted&view=gate&limit=500")
    for row in page.select("table.found tbody tr"):
        renamed = "renamed" in only(row, "a.compared").text
        moved = only(row, ".neuron").text == "L1N3"
        assert (bool(row.select(".also")), renamed) == (moved, moved)
        assert (
            only(row, "a.compared")["href"]
            == f"{PAIR}/{'1/3' if moved else only(row, '.neuron').text[1:].replace('N', '/')}"
        )


def test_rows_are_led_by_the_tuned_model_and_sorted_by_its_z(paired_client: TestClient) -> None:
    rows = soup(paired_client, "/search?q=dog&pair=planted&limit=500").select("table.found tbody tr")
    leaders = [[str(model.find(string=True)) for model in row.select(".named-model")] for row in rows]
    assert ["after", "before"] in leaders
    assert {tuple(names) for names in leaders} <= {("after", "before"), ("after",), ("before",)}
    shown = [float(only(row, ".z .num").text) for row in rows]
    assert shown == sorted(shown, reverse=True)
    for row, names in zip(rows, leaders, strict=True):
        assert str(only(row, ".neuron")["href"]).startswith(f"/neurons/{names[0]}/")


def test_a_tuned_model_is_shown_where_none_is_chosen(paired_client: TestClient) -> None:
    assert only(soup(paired_client, "/"), "#tour-title").text == "Some neurons of after"
    answer = paired_client.get("/search?q=L2N5", follow_redirects=False)
    assert answer.headers["Location"] == "/neurons/after/2/5"


def test_a_near_tie_is_called_one_from_either_side(paired_client: TestClient) -> None:
    for model in ("before", "after"):
        card = only(soup(paired_client, f"/neurons/{model}/0/3"), '[aria-labelledby="up-logit"]')
        assert "near tie" in only(card, ".counterpart").text
    views = paired_client.get("/api/v1/neurons/after/0/3").json()["counterpart"]["views"]["up"]
    assert (views["logit"]["near_tie"], views["logit"]["same_top"], views["cosine"]["near_tie"]) == (True, False, False)
