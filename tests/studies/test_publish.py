"""Publishing: what is frozen, and what is refused."""

import hashlib

import pytest

from generation.models import Experiment, Image, Pair
from studies import protocol
from studies.models import Seat, Study
from tests.studies.factories import document, draft, experiment, published

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
    with pytest.raises(protocol.NotPublishable, match="only a draft"):
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
