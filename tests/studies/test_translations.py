"""The participant's pages in five languages: nothing untranslated, nothing stale, sides as they are."""

import gettext
import re
from pathlib import Path

import pytest
from django.conf import settings
from django.test import Client
from django.utils.translation.template import templatize

from studies.languages import LANGUAGES
from tests.studies.factories import Person, published

ROOT = Path(settings.ROOT)
LOCALES = sorted((ROOT / "studies/locale").iterdir())
STRING = r"u?('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")"


def entries(po: Path) -> dict[str, list[str]]:
    """{msgid: translations} of a catalogue's source."""
    found: dict[str, list[str]] = {}
    msgid = ""
    for kind, text in re.findall(r'^(msgid|msgid_plural|msgstr(?:\[\d\])?) "(.*)"$', po.read_text(), re.M):
        plain = text.replace('\\"', '"').replace("\\n", "\n")
        if kind == "msgid":
            msgid = plain
        elif kind != "msgid_plural":
            found.setdefault(msgid, []).append(plain)
    found.pop("")
    return found


def said_in_templates() -> set[str]:
    """Every text that the participant's templates give to be translated."""
    found = set()
    for template in (ROOT / "templates/studies").glob("*.html"):
        source = templatize(template.read_text())
        for text in re.findall(rf"(?:gettext|ngettext|_)\(\s*{STRING}", source):
            found.add(text[1:-1].replace("\\'", "'").replace('\\"', '"'))
    return found


@pytest.mark.parametrize("folder", LOCALES, ids=lambda folder: folder.name)
def test_every_text_is_translated_and_none_is_left_over(folder):
    assert set(entries(folder / "LC_MESSAGES/django.po")) == said_in_templates()


@pytest.mark.parametrize("folder", LOCALES, ids=lambda folder: folder.name)
def test_the_compiled_file_is_that_of_its_source(folder):
    with (folder / "LC_MESSAGES/django.mo").open("rb") as file:
        compiled = gettext.GNUTranslations(file)._catalog

    for msgid, translations in entries(folder / "LC_MESSAGES/django.po").items():
        kept = [compiled[msgid]] if msgid in compiled else [
            compiled[msgid, number] for number in range(len(translations))
        ]  # fmt: skip
        assert kept == translations


@pytest.mark.parametrize("folder", LOCALES, ids=lambda folder: folder.name)
def test_placeholders_stay(folder):
    for msgid, translations in entries(folder / "LC_MESSAGES/django.po").items():
        for text in translations:
            assert set(re.findall(r"%\(\w+\)s", text)) <= set(re.findall(r"%\(\w+\)s", msgid)) | {
                "%(practice)s"
            }


def test_there_is_a_catalogue_for_every_language_but_english():
    assert {folder.name.lower().replace("_", "-") for folder in LOCALES} == set(LANGUAGES) - {"en"}


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("asked", "language", "direction", "agree"),
    [
        ("es-MX,es;q=0.9,en;q=0.5", "es", "ltr", "Estoy de acuerdo y participo"),
        ("de", "de", "ltr", "Ich bin einverstanden und nehme teil"),
        ("zh-CN", "zh-hans", "ltr", "我同意并参加"),
        ("ar-EG", "ar", "rtl", "أوافق وأشارك"),
        ("fr,de;q=0.5", "de", "ltr", "Ich bin einverstanden und nehme teil"),
        ("fr", "en", "ltr", "I agree and take part"),
        ("", "en", "ltr", "I agree and take part"),
        ("*;q=x,\x7f", "en", "ltr", "I agree and take part"),
    ],
)
def test_a_page_comes_in_the_browsers_language(asked, language, direction, agree):
    study = published(2)

    page = Client().get(f"/s/{study.slug}/", headers={"accept-language": asked})

    html = page.content.decode()
    assert agree in html
    assert f'<html lang="{language}" dir="{direction}">' in html
    assert page["Content-Language"] == language


@pytest.mark.django_db
@pytest.mark.parametrize("language", LANGUAGES)
def test_the_whole_way_works_in_every_language(language):
    person = Person(published(2), headers={"accept-language": language}).start().finish()

    assert person.code == person.row.code
