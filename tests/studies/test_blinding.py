"""Nothing but pixels tells a participant whose picture is whose."""

import base64
import io
import random
import re

import pytest
from django.test import Client
from PIL import Image as Pillow
from PIL.PngImagePlugin import PngInfo

from generation.models import Condition, Image
from studies import blinding
from studies.blinding import Copies, CopiesCheck
from studies.models import Trial
from tests.studies.factories import Person, document, experiment, png, published


def pictures(html: str) -> list[str]:
    return re.findall(r'<img src="([^"]+)"', html)


def pixels(content: bytes) -> bytes:
    return Pillow.open(io.BytesIO(content)).convert("RGB").tobytes()


def test_a_copy_keeps_the_pixels_and_nothing_else():
    told = PngInfo()
    told.add_text("prompt", "made by the treatment")
    told.add_itxt("seed", "7")
    source = png(1, pnginfo=told, dpi=(72, 72))

    copy = blinding.pad(blinding.copy(source), 9000)

    assert b"treatment" in source
    assert pixels(copy) == pixels(source)
    assert len(copy) == 9000
    assert [kind for kind, _ in blinding.chunks(copy)] == ["IHDR", "paDd", "IDAT", "IEND"]


def test_a_padded_copy_is_a_valid_png_for_a_strict_reader():
    copy = blinding.pad(blinding.copy(png(2)), 9001)

    with Pillow.open(io.BytesIO(copy)) as opened:
        opened.verify()


def test_copies_of_differently_encoded_sources_are_the_same_bytes():
    picture = Pillow.open(io.BytesIO(png(3)))
    ways = []
    for options in ({"compress_level": 1}, {"optimize": True}):
        out = io.BytesIO()
        picture.save(out, "PNG", **options)
        ways.append(out.getvalue())

    assert ways[0] != ways[1]
    assert blinding.copy(ways[0]) == blinding.copy(ways[1])


def test_a_spoilt_copy_has_the_same_size_and_is_obviously_different():
    clear, spoilt = blinding.copy(png(4)), blinding.copy(png(4), spoilt=True)

    difference = sum(abs(a - b) for a, b in zip(pixels(clear), pixels(spoilt), strict=True)) / (32 * 32 * 3)
    assert blinding.size(clear) == blinding.size(spoilt)
    assert difference > 10


def test_bytes_that_are_no_picture_are_refused_with_the_reason():
    with pytest.raises(blinding.NotAnImage):
        blinding.copy(b"\x89PNG\r\n\x1a\nbroken")


def test_the_check_finds_what_differs_between_the_arms():
    same = blinding.copy(png(5))
    other = blinding.copy(png(6, 48, 48))
    check = CopiesCheck()
    check.add(Copies(1, blinding.pad(same, 9500), blinding.pad(other, 9500)))
    check.add(Copies(2, blinding.pad(same, 9500), same))

    failed = {finding.check: finding.says for finding in check.findings() if not finding.passed}

    assert failed["pixel size"] == "pair 1: baseline 32×32, treatment 48×48"
    assert "pair 2, treatment: chunks IHDR IDAT IEND" in failed["encoder and metadata"]
    assert "9500" in failed["length"]


def test_an_address_is_read_back_only_as_it_was_given_out():
    token = "A" * 22
    addresses = {blinding.image_address(token, side): side for side in ("left", "right")}

    assert len(addresses) == 2
    for address, side in addresses.items():
        assert blinding.read_image_address(address) == (token, side)
        assert blinding.read_image_address("B" + address[1:]) is None
        assert blinding.read_image_address(address[:-1] + "-") is None
    assert blinding.read_image_address("é" * 40) is None
    assert blinding.read_image_address("") is None


@pytest.mark.django_db
class TestOnThePage:
    def test_headers_and_lengths_of_both_pictures_are_the_same_over_all_trials(self):
        study = published(6)
        person = Person(study).start()
        seen = set()
        while 'id="trial"' in person.html:
            for address in pictures(person.html):
                answer = person.client.get(address)
                headers = dict(answer.headers.items())
                assert not {"ETag", "Last-Modified", "Content-Disposition"} & set(headers)
                seen.add((answer.status_code, len(answer.content), tuple(sorted(headers.items()))))
            person.vote()

        assert len(seen) == 1

    def test_the_page_holds_no_name_hash_or_key_of_what_it_shows(self):
        study = published(experiment=experiment(5, treatments=("se2p-rho1",)), people=5)
        words = {str(name) for name in Condition.objects.values_list("name", flat=True)} | {"treatment"}
        words |= set(Image.objects.values_list("sha256", flat=True))
        (block,) = document(study)["design"]["blocks"]
        words |= {name for pair in block["pairs"] for name in pair["shown"]}
        person = Person(study).start()

        pages = ""
        while 'id="trial"' in person.html:
            pages += person.html
            person.vote()

        assert not [word for word in words if word in pages]

    def test_the_page_is_the_same_but_for_random_tokens_whichever_arm_stands_left(self):
        study = published(8)
        person = Person(study).start()
        left, pages = [], []
        while 'id="trial"' in person.html:
            left.append(person.row.trials.get(position=len(left)).left)
            pages.append(re.sub(r"[A-Za-z0-9_-]{22,}|\b\d+ of \d+\b|value=\"\d+\"", "", person.html))
            person.vote()

        assert set(left) == {"baseline", "treatment"}
        assert len(set(pages[:-1])) == 1  # the last page preloads nothing

    def test_a_classifier_on_everything_but_pixels_does_no_better_than_chance(self, monkeypatch):
        # By chance alone it would fail in one run of 3,000; so all runs draw the same.
        dice = random.Random(1)
        monkeypatch.setattr("secrets.randbits", dice.getrandbits)
        monkeypatch.setattr(
            "secrets.token_urlsafe",
            lambda size: base64.urlsafe_b64encode(dice.randbytes(size)).rstrip(b"=").decode(),
        )
        study = published(15, people=10)
        examples = []
        for _ in range(10):
            person = Person(study).start()
            row = person.row
            for trial in row.trials.all():
                traffic = person.html + " ".join(pictures(person.html))
                examples.append((features(traffic), trial.left == "treatment"))
                person.vote()
        random.Random(0).shuffle(examples)
        half = len(examples) // 2
        right = naive_bayes(examples[:half], examples[half:])

        # 75 held-out trials: 53 right by chance alone has probability .0003.
        assert right <= 0.7 * (len(examples) - half)

    def test_the_address_of_one_person_is_useless_to_another(self):
        study = published(4)
        one, other = Person(study).start(), Person(study).start()
        address = pictures(one.html)[0]

        assert one.client.get(address).status_code == 200
        assert other.client.get(address).status_code == 404
        assert Client().get(address).status_code == 404

    def test_pictures_come_no_earlier_than_one_trial_ahead(self):
        person = Person(published(4)).start()
        slug, trials = person.study.slug, person.row.trials

        def status(position):
            address = blinding.image_address(trials.get(position=position).token, "left")
            return person.client.get(f"/s/{slug}/picture/{address}.png").status_code

        assert [status(position) for position in range(4)] == [200, 200, 404, 404]

    def test_the_pictures_shown_are_those_of_the_trial_on_their_sides(self):
        person = Person(published(4)).start()
        trial = person.row.trials.select_related("pair__baseline", "pair__treatment").get(position=0)
        arms = {"baseline": trial.pair.baseline, "treatment": trial.pair.treatment}

        for address, shows in zip(pictures(person.html), (trial.left, trial.right), strict=True):
            with arms[shows].open() as file:
                assert pixels(person.client.get(address).content) == pixels(file.read())


def features(traffic: str) -> list[str]:
    """What could tell: lengths, letters, and every short run of characters of the addresses."""
    tokens = re.findall(r"/picture/([^\"]+)\.png", traffic)
    found = [f"length {len(traffic)}"]
    for place, token in enumerate(tokens[:2]):
        found += [f"{place} {at} {letter}" for at, letter in enumerate(token)]
        found += [f"{place} case {token[at].isupper()}{at}" for at in range(len(token))]
    found.append(f"order {tokens[0] < tokens[1]}")
    return found


def naive_bayes(train, test) -> int:
    """How many of the test examples are told right."""
    from math import log

    counts = [{}, {}]
    total = [0, 0]
    for words, label in train:
        total[label] += 1
        for word in words:
            counts[label][word] = counts[label].get(word, 0) + 1
    right = 0
    for words, label in test:
        scores = [
            log(total[k] + 1) + sum(log((counts[k].get(word, 0) + 1) / (total[k] + 2)) for word in words)
            for k in (0, 1)
        ]
        right += (scores[1] > scores[0]) == label
    return right


@pytest.mark.django_db
def test_every_presented_file_of_a_protocol_has_one_length():
    from django.core.files.storage import default_storage

    study = published(5, comparisons=3, practice=1, catches=1)
    files = study.protocols.get().presentations.values_list("file", flat=True)

    assert len(files) == 20
    assert len({default_storage.size(name) for name in files}) == 1
    assert not Trial.objects.exists()
