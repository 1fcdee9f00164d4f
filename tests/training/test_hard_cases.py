"""What is hard to tell, in sentences written for these tests: close languages, single words, two languages in one."""

from __future__ import annotations

from pathlib import Path

import pytest

from heartbeat.models.catalogue import Catalogue
from heartbeat.models.text import prepare
from heartbeat.training import language_hard
from heartbeat.training.language_sets import label_of
from heartbeat.training.language_texts import LABELS
from heartbeat.training.package import Classifier

CLOSE: dict[tuple[str, ...], list[tuple[str, ...]]] = {
    ("da", "nb"): [
        ("Jeg ved ikke, hvad jeg skal gøre", "Jeg vet ikke hva jeg skal gjøre"),
        ("Hvor meget koster det her?", "Hvor mye koster det her?"),
        ("Det er noget af det bedste, jeg har set", "Det er noe av det beste jeg har sett"),
        ("Vi ses i morgen efter arbejde", "Vi sees i morgen etter jobb"),
        ("Kan du hjælpe mig med opgaven?", "Kan du hjelpe meg med oppgaven?"),
        ("Bussen er forsinket igen, og det regner", "Bussen er forsinket igjen, og det regner"),
    ],
    ("cs", "sk"): [
        ("Nevím, co mám dělat", "Neviem, čo mám robiť"),
        ("Kolik to stojí dneska?", "Koľko to stojí dneska?"),
        ("Včera jsem byl v kině s kamarády", "Včera som bol v kine s kamarátmi"),
        ("Potřebuju nový telefon", "Potrebujem nový telefón"),
        ("Děkuji vám za pomoc", "Ďakujem vám za pomoc"),
        ("Zítra bude celý den pršet", "Zajtra bude celý deň pršať"),
    ],
    ("hr", "sr"): [
        ("Ne znam što da radim, vrijeme je loše", "Ne znam šta da radim, vreme je loše"),
        ("Gdje je ovdje najbliža ljekarna?", "Gde je ovde najbliža apoteka?"),
        ("Tko je jučer bio u kazalištu?", "Ko je juče bio u pozorištu?"),
        ("Uvijek pijem kavu s mlijekom", "Uvek pijem kafu sa mlekom"),
        ("Tisuću puta sam ti to rekao", "Hiljadu puta sam ti to rekao"),
        ("Vlak opet kasni, čekamo na kolodvoru", "Voz opet kasni, čekamo na stanici"),
    ],
    ("id", "ms"): [
        ("Saya tidak bisa datang karena sakit", "Saya tidak boleh datang kerana sakit"),
        ("Berapa uang yang kamu punya?", "Berapa banyak wang yang awak ada?"),
        ("Kapan kereta berikutnya berangkat?", "Bilakah kereta api seterusnya bertolak?"),
        ("Dia bilang bahwa kantornya sudah tutup", "Dia cakap bahawa pejabatnya sudah tutup"),
        ("Aku mau beli sepeda motor baru", "Saya nak beli motosikal baharu"),
        ("Dokter bilang aku harus berobat ke rumah sakit", "Doktor cakap saya perlu pergi ke hospital"),
    ],
    ("es", "ca", "pt"): [
        ("No sé qué hacer mañana por la tarde", "No sé què fer demà a la tarda", "Não sei o que fazer amanhã à tarde"),
        ("¿Dónde está la estación?", "On és l'estació?", "Onde fica a estação?"),
        ("Me gusta mucho este libro", "M'agrada molt aquest llibre", "Gosto muito deste livro"),
        ("Hoy hace mucho calor aquí", "Avui fa molta calor aquí", "Hoje está muito calor aqui"),
        ("Gracias por todo, hasta luego", "Gràcies per tot, fins després", "Obrigado por tudo, até logo"),
        ("El tren llega tarde otra vez", "El tren arriba tard una altra vegada", "O comboio chega tarde outra vez"),
    ],
}
WORDS = {
    "es": "gracias", "pt": "obrigado", "it": "grazie", "de": "danke", "nl": "bedankt", "sv": "tack", "fi": "kiitos",
    "pl": "dziękuję", "cs": "děkuji", "sk": "ďakujem", "hu": "köszönöm", "ro": "mulțumesc", "tr": "teşekkürler",
    "ru": "спасибо", "uk": "дякую", "bg": "благодаря", "et": "aitäh", "lt": "ačiū", "eu": "eskerrik", "ca": "gràcies",
    "kk": "рахмет", "vi": "cảm ơn", "ar": "شكرا", "fa": "متشکرم", "he": "תודה", "hi": "धन्यवाद", "ja": "ありがとう",
    "ko": "감사합니다", "war": "ngatanan", "id": "banget", "en": "thanks", "fr": "aujourd'hui",
}  # fmt: skip
TWO_IN_ONE = [
    ({"es", "en"}, "No puedo más con esta aplicación, it breaks every single time"),
    ({"de", "en"}, "Das neue Album ist wirklich gut, best thing I heard this year"),
    ({"fr", "en"}, "Je ne comprends pas du tout, why would they do this again"),
    ({"it", "en"}, "Non vedo l'ora di partire, can't wait for next weekend"),
    ({"pt", "en"}, "Não acredito que acabou, what a great season that was"),
    ({"tr", "en"}, "Bugün çok güzel bir gün, I love this city so much"),
    ({"id", "en"}, "Aku lagi nonton film baru, the ending was so sad"),
    ({"nl", "de"}, "Ik heb geen idee wat dat is, weiß das hier jemand von euch"),
]
THE_SAME_IN_BOTH = [
    ({"hr", "sr"}, "Ovo je moja knjiga"),
    ({"id", "ms"}, "Ini rumah saya"),
    ({"da", "nb"}, "Det er min bil"),
]


@pytest.fixture(scope="module")
def classify() -> Classifier:
    entry = Catalogue(Path(__file__).parents[2] / "onnx_models").find("language")
    return Classifier(entry.graph)


@pytest.mark.parametrize("group", CLOSE, ids="/".join)
def test_close_languages_are_told_by_what_differs(classify: Classifier, group: tuple[str, ...]) -> None:
    for place, lang in enumerate(group):
        texts = [prepare(row[place]) for row in CLOSE[group]]
        found = [LABELS[best] for best in classify(texts).argmax(1)]
        assert found.count(lang) >= len(texts) - 1, list(zip(texts, found, strict=True))


def test_single_words_that_one_language_has_are_told(classify: Classifier) -> None:
    found = classify([prepare(word) for word in WORDS.values()]).argmax(1)
    wrong = [
        (lang, word, LABELS[best])
        for (lang, word), best in zip(WORDS.items(), found, strict=True)
        if LABELS[best] != lang
    ]
    assert len(wrong) <= 3, wrong


def test_a_text_in_two_languages_is_one_of_them(classify: Classifier) -> None:
    found = classify([prepare(text) for _, text in TWO_IN_ONE]).argmax(1)
    wrong = [
        (text, LABELS[best]) for (langs, text), best in zip(TWO_IN_ONE, found, strict=True) if LABELS[best] not in langs
    ]
    assert len(wrong) <= 1, wrong


def test_what_two_languages_share_is_one_of_both_and_in_doubt(classify: Classifier) -> None:
    for (langs, text), said in zip(
        THE_SAME_IN_BOTH, classify([prepare(text) for _, text in THE_SAME_IN_BOTH]), strict=True
    ):
        assert LABELS[said.argmax()] in langs, text
        assert min(said[label_of(lang)] for lang in langs) > 0.02, (text, said.max())


def test_hard_cases_are_measured_within_their_group_and_mixed_ones_by_either_language(classify: Classifier) -> None:
    rows = [(lang, prepare(row[place])) for group in CLOSE for row in CLOSE[group] for place, lang in enumerate(group)]
    figures = language_hard.measure(classify, {"sentences": rows, "words": [row for row in rows if row[0] != "ms"]})
    assert figures.keys() == {*map("/".join, CLOSE), "two languages in one text"}
    assert figures["id/ms"].keys() == {"sentences"}  # no words of Malay: nothing to hold Indonesian ones against
    assert min(figures["/".join(group)]["sentences"] for group in CLOSE) >= 0.75
    assert {(one, other) for one, other, _ in language_hard.mixed(rows)} == {
        (one, other) for one in ("es", "id", "pt") for other in ("es", "id", "pt") if one != other
    }
    assert figures["two languages in one text"]["one of the two"] >= 0.8
    assert "two languages in one text" not in language_hard.measure(classify, {"words": rows})
