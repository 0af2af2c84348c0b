import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from generation import item_files, planning
from generation.item_files import BadRows
from generation.models import Experiment, ImageModel
from generation.planning import Draw, Subject

from .factories import flower_model
from .test_admin import ADD, errors, form

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def no_nudges(monkeypatch):
    """The broker of the tests must not fill with messages that nobody takes."""
    monkeypatch.setattr("generation.tasks.start", lambda experiment: None)


def painter():
    return ImageModel.objects.create(name="painter", source="org/painter", takes="prompts")


def faces():
    return ImageModel.objects.create(name="faces", source="org/faces", takes="nothing")


def draws(data, name="items.csv", model=None, seeds=(7, 8)):
    data = data.encode() if isinstance(data, str) else data
    return item_files.part(data, name, model or painter(), seeds).draws


def refused(*args, **options):
    with pytest.raises(BadRows) as caught:
        draws(*args, **options)
    return str(caught.value).splitlines()


A, B = Subject(prompt="a dog, wet"), Subject(prompt="ein Vögelchen", negative_prompt="blurred")


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_it_works(delimiter, mark, end):
    rows = [
        ["prompt", "Seed", " negative_prompt "],
        ['"a dog, wet"', "3", ""],
        [],
        ["ein Vögelchen", "2147483647", "blurred"],
    ]
    text = mark + end.join(delimiter.join(row) for row in rows) + end

    assert draws(text) == [Draw(A, 3), Draw(B, 2**31 - 1)]


def test_a_table_without_seeds_takes_each_seed_of_the_form():
    assert draws('prompt\n"a dog, wet"\n') == [Draw(A, 7), Draw(A, 8)]


def test_a_text_has_one_prompt_a_line():
    found = draws("\ufeff a dog, wet \r\n\r\na cat", "prompts.txt", seeds=[5])

    assert found == [Draw(A, 5), Draw(Subject(prompt="a cat"), 5)]


def test_a_text_has_one_label_a_line_where_the_model_takes_labels():
    found = draws("rose\n0\n", "labels.txt", flower_model(), [5])

    assert found == [Draw(Subject(label=1), 5), Draw(Subject(label=0), 5)]


def test_labels_are_ids_or_names():
    assert draws("label,seed\nrose,1\n0,2", model=flower_model()) == [
        Draw(Subject(label=1), 1),
        Draw(Subject(label=0), 2),
    ]


def test_a_model_that_takes_nothing_takes_seeds():
    assert draws("seed\n5\n9", model=faces()) == [Draw(Subject(), 5), Draw(Subject(), 9)]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", ["The file holds no item: one a line is needed."]),
        ("prompt,seed\n", ["The file holds no item: one a line is needed."]),
        ("a dog,3\n", ["Line 1: 'a dog' is no column;"]),
        ("\n\nprompt,price\na,1", ["Line 3: 'price' is no column;"]),
        ("prompt,prompt\na,b", ["Line 1: 'prompt' stands twice;"]),
        ("prompt,seed\na,-1\nb,2\nc,x", ["Line 2: seed = -1:", "Line 4: seed = x:"]),
        ("prompt,seed\na,2147483648", ["Line 2: seed = 2147483648:"]),
        ("prompt,seed\na,", ["Line 2: has no seed;"]),
        ("prompt,seed\n,1", ["Line 2: has no prompt, but painter takes prompts"]),
        ("label,seed\nrose,1", ["Line 2: has a label, but painter takes prompts"]),
        ("prompt,seed\na dog, wet,1", ["Line 2: has 3 columns, the header 2: put quotation marks"]),
        ("prompt,seed\na,1\nb", ["Line 3: has 1 columns, the header 2"]),
        ("prompt,seed\na,1\n\nb,2\na,1", ["Line 5: is the same item as line 2"]),
        ('prompt,seed\n"two\nlines",1\n"two\nlines",1', ["Line 4: is the same item as line 2"]),
        ('prompt,seed\na,1\n"b,2', ["Line 3: can't be read"]),
        ("prompt,seed\na\x00b,1", ["Line 2: prompt = a␀b: allowed is text without null"]),
        (f"prompt,seed\n{'ä' * 1001},1", ["Line 2: prompt = "]),
        (b"prompt,seed\nok,1\n\xe4,2", ["Line 3: is no UTF-8"]),
        ("prompt,seed\na,1".encode("utf-16"), ["Line 1: is no UTF-8"]),
    ],
)
def test_bad_rows_are_listed_by_line(text, says):
    found = refused(text)

    assert [line.startswith(start) for line, start in zip(found, says, strict=True)] == [True] * len(says)


def test_labels_that_are_none_and_rows_for_another_kind_of_model_are_listed():
    assert "0 daisy, 1 rose" in refused("label,seed\numbrella,1", model=flower_model())[0]
    model = faces()
    assert "has a prompt" in refused("prompt,seed\na,1", model=model)[0]
    assert "Line 2: has a prompt" in refused("\na dog", "prompts.txt", model=model)[0]


def test_twenty_faults_are_listed_and_the_others_counted():
    found = refused("prompt,seed\n" + "a,x\n" * 25)

    assert len(found) == 21
    assert found[-1] == "… and 5 more."


def test_a_file_that_is_far_too_large_is_refused(monkeypatch):
    monkeypatch.setattr(item_files, "MOST_BYTES", 10)

    assert refused("prompt,seed\na,1") == ["The file has 15 bytes; at most 10 are taken."]


def test_the_longest_prompt_can_be_kept(admin_client):
    model = painter()
    # Nothing can press this together, so that the index keeps it whole.
    prompt = "".join(chr(0x4E00 + (n * 7919) % 20_000) for n in range(planning.LONGEST_PROMPT // 3))

    admin_client.post(ADD, form(model=model.pk, subjects=prompt, seeds="0"))

    assert Experiment.objects.get().items.get().prompt == prompt


def upload(admin_client, text, **changes):
    file = SimpleUploadedFile("items.csv", text.encode())
    return admin_client.post(ADD, form(**{"subjects": "", "items_file": file} | changes))


def test_the_form_takes_a_file_in_place_of_labels_and_seeds(admin_client):
    assert 'enctype="multipart/form-data"' in admin_client.get(ADD).content.decode()

    response = upload(admin_client, "label,seed\nrose,5\ndaisy,6\n")

    asked = Experiment.objects.get()
    assert response.url == asked.get_absolute_url()
    assert list(asked.items.values_list("label", "seed")) == [(1, 5), (0, 6)]


def test_the_form_shows_bad_rows_and_takes_nothing(admin_client):
    said = str(errors(upload(admin_client, "label,seed\nrose,5\nx,6\nrose,5"))["items_file"])

    assert "Line 3: label = x" in said
    assert "Line 4: is the same item as line 2" in said
    assert not Experiment.objects.exists()


def test_the_form_takes_labels_or_a_file_not_both(admin_client):
    said = errors(upload(admin_client, "label,seed\nrose,5", subjects="rose"))

    assert "Either a file or" in str(said["items_file"])
    assert not Experiment.objects.exists()


def test_more_items_than_an_experiment_holds_are_refused(admin_client, monkeypatch):
    monkeypatch.setattr(planning, "MOST_PAIRS", 2)

    said = errors(upload(admin_client, "label,seed\nrose,5\nrose,6\nrose,7\n"))

    assert "at most 2" in str(said)
    assert not Experiment.objects.exists()
