"""Publishing: what is frozen, and what is refused."""

import hashlib

import pytest

from generation.models import Experiment, Image, Pair
from studies import protocol, results, wording
from studies.models import Seat, Study
from tests.studies.factories import Person, document, draft, experiment, published

pytestmark = pytest.mark.django_db


def test_it_works():
    study = draft(4, people=3)

    frozen = protocol.publish(study)

    study.refresh_from_db()
    assert study.state == Study.State.LIVE
    assert frozen.sha256 == hashlib.sha256(frozen.document.encode()).hexdigest()
    assert Seat.objects.filter(protocol=frozen, holder=None).count() == 3
    assert study.audit.get(action="published").detail["sha256"] == frozen.sha256


def test_images_pairs_and_experiments_are_frozen():
    published(3)

    assert not Experiment.objects.filter(frozen=False)
    assert not Pair.objects.filter(frozen=False)
    assert not Image.objects.filter(frozen=False)


def test_the_document_names_every_pair_with_the_hashes_of_its_images():
    study = published(3)

    shown = document(study)["design"]["blocks"][0]["pairs"]
    assert [(pair["baseline"], pair["treatment"]) for pair in shown] == list(
        Pair.objects.order_by("id").values_list("baseline__sha256", "treatment__sha256")
    )


def test_an_experiment_of_several_steps_and_treatments_gives_a_block_each():
    study = draft(experiment=experiment(3, steps=(10, 20), treatments=("se2p", "naive")))

    assert [(b.steps, b.treatment.name, b.comparisons) for b in study.blocks.all()] == [
        (10, "se2p", 3),
        (10, "naive", 3),
        (20, "se2p", 3),
        (20, "naive", 3),
    ]


def test_fewer_pairs_than_comparisons_are_refused_with_both_numbers():
    study = draft(4, comparisons=5)

    with pytest.raises(protocol.NotPublishable, match=r"5 comparisons .* there are 4"):
        protocol.publish(study)


def test_a_published_study_is_not_published_again():
    with pytest.raises(protocol.NotPublishable, match="only a draft or a paused study"):
        protocol.publish(published(2))


def test_a_study_whose_arms_differ_in_size_is_refused_and_nothing_is_frozen():
    study = draft(experiment=experiment(3, treatment_size=48))

    with pytest.raises(protocol.NotPublishable, match="baseline 32×32, treatment 48×48"):
        protocol.publish(study)

    study.refresh_from_db()
    assert study.state == Study.State.DRAFT
    assert not study.protocols.exists()
    assert not Pair.objects.filter(frozen=True)


def test_excluded_pairs_are_not_shown():
    study = draft(4, comparisons=3)
    left_out = Pair.objects.first()
    Pair.objects.filter(pk=left_out.pk).update(excluded="black")

    protocol.publish(study)

    assert left_out.pk not in {row[3] for seat in Seat.objects.all() for row in seat.plan}


def test_more_seats_are_drawn_in_balance_with_the_first_ones():
    study = published(6, comparisons=4, people=4)
    frozen = study.protocols.get()

    protocol.add_seats(frozen, 5)

    shown = [row[3] for seat in Seat.objects.all() for row in seat.plan]
    assert {shown.count(pair) for pair in set(shown)} == {6}


def test_a_change_after_publication_is_a_new_version_and_who_has_begun_goes_on_with_the_old_one():
    study = published(3, people=2, blind=False)
    early = Person(study).start()
    early.vote()
    study = protocol.change_state(study, Study.State.PAUSED)
    study.questions.update(text="Which is more beautiful?")
    study.people = 5
    study.save()

    second = protocol.publish(study)
    late = Person(study).start()

    assert (second.version, second.seats.count()) == (2, 5)
    assert len(set(study.protocols.values_list("sha256", flat=True))) == 2
    assert "Which picture looks better?" in early.client.get(early.home, follow=True).content.decode()
    assert "Which is more beautiful?" in late.html
    early.finish()
    late.finish()
    assert (early.row.protocol.version, late.row.protocol.version) == (1, 2)
    found = results.compute(study)
    assert found["analysis"]["votes"]["main"] == 6
    assert wording.versions(found["versions"], found["reworded"]) == (
        "The votes of protocol versions 1 and 2 are taken together. "
        "Under version 1 “Which is more beautiful?” was asked as “Which picture looks better?”."
    )


def test_who_counts_beside_a_new_versions_seats_is_said_before_it_is_published(admin_client):
    study = published(2, people=3)
    Person(study).start().finish()
    Person(study).start()
    protocol.change_state(study, Study.State.PAUSED)

    page = " ".join(admin_client.get(f"/admin/studies/study/{study.pk}/publish/").content.decode().split())

    assert "3 seats are drawn" in page
    assert "2 people have finished or are under way: they count too, beside all 3" in page


def test_seeds_that_too_few_prompts_share_are_said_before_people_are_asked(admin_client):
    one, two, own, many = (
        draft(experiment=experiment(6, labels=6, shared=True)),
        draft(experiment=experiment(6, labels=3, shared=True)),
        draft(experiment=experiment(6, labels=3)),
        draft(experiment=experiment(12, labels=2, shared=True)),
    )

    said = [
        " ".join(admin_client.get(f"/admin/studies/study/{s.pk}/publish/").content.decode().split())
        for s in (one, two, own, many)
    ]

    assert "its classes share 1 seed. What people prefer on items like these then has no interval" in said[0]
    assert "its classes share 2 seeds" in said[1]
    assert "rests on the noise of 2 seeds only" in said[1]
    assert not any("classes share" in page for page in said[2:])


def test_pairs_of_one_file_twice_are_said_before_people_are_asked(admin_client):
    study = draft(4, experiment=experiment(4, treatments=("se2p", "naive")))
    address = f"/admin/studies/study/{study.pk}/publish/"
    assert "the same file" not in admin_client.get(address).content.decode()

    for pair in Pair.objects.filter(treatment__condition__name="naive")[:3]:
        Image.objects.filter(pk=pair.treatment_id).update(sha256=pair.baseline.sha256)

    page = admin_client.get(address).content.decode()
    assert page.count("the same file") == 1
    assert "naive against baseline: in 3 of 4 pairs both pictures are the same file." in page


def test_a_new_version_waits_for_its_own_seats_beside_who_came_before(admin_client):
    study = published(2, people=3)
    Person(study).start().finish()
    Person(study).start()
    study = protocol.change_state(study, Study.State.PAUSED)
    protocol.publish(study)
    for _ in range(2):
        Person(study).start().finish()

    assert (results.counts(study).finished, results.counts(study).wanted) == (3, 5)
    for address in ("/admin/", "/admin/studies/study/", f"/admin/studies/study/{study.pk}/results/"):
        assert "3 of 5" in admin_client.get(address).content.decode(), address


def test_changing_a_paused_study_changes_nothing_for_participants_until_it_is_published():
    study = published(3)
    study = protocol.change_state(study, Study.State.PAUSED)
    study.questions.update(text="Which is more beautiful?")
    study = protocol.change_state(study, Study.State.LIVE)

    assert "Which picture looks better?" in Person(study).start().html
